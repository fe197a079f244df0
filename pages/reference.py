"""Reference: commands from click, keys of files from pydantic, the Python API from its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click

import harness
from harness.cli import main
from harness.reports.document import cell_text, markdown_table
from harness.spec.schemas import KINDS, schema

_DEFINITIONS = "#/$defs/"
_WHAT = {
    "benchmark": "A benchmark is `benchmarks/<id>.yaml`, or any YAML file that you name.",
    "variant": "A variant is `benchmarks/models/<name>.yaml`, or `variant.yaml` in a checkpoint's folder.",
    "golden": "Golden values lie in `golden/<variant>/<benchmark>.yaml`. `harness accept` writes them.",
    "record": "A run writes `record.json`. [The record](../concepts/record.md) says what lies beside it.",
}


def reference_pages() -> dict[str, str]:
    """Every page of the reference, by its path below docs/."""
    pages = {"reference/commands.md": _commands(), "reference/python.md": _python()}
    return pages | {f"reference/{kind}.md": _keys(kind) for kind in KINDS}


def commands(group: click.Group = main, words: tuple[str, ...] = ("harness",)) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with all its words, sorted."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def _commands() -> str:
    sections = [_command(words, command) for words, command in commands()]
    first = "Every command ends with one of the [exit codes](exit-codes.md). Every command takes `-h`."
    return "\n\n".join(["# Commands", first, *sections]) + "\n"


def _command(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words)
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden and (record := option.get_help_record(context)):
            rows.append((record[0], record[1]))
    table = markdown_table(("option", "what it does"), rows) if rows else ""
    return "\n\n".join(filter(None, [f"## {words}", f"    {usage}", _prose(command.help or ""), table]))


def _prose(text: str) -> str:
    """Paragraphs of a docstring as Markdown: nothing in them opens an element."""
    told, _, example = inspect.cleandoc(text.replace("\b", "")).partition("\nExample:")
    paragraphs = [" ".join(each.split()).replace("<", "&lt;") for each in re.split(r"\n\s*\n", told)]
    code = [f"```pycon\n{inspect.cleandoc(example)}\n```"] if example else []
    return "\n\n".join([*paragraphs, *code])


def _keys(kind: str) -> str:
    content = schema(kind)
    definitions = {
        name: each for name, each in content["$defs"].items() if "properties" in each and not name.endswith("InGroup")
    }
    titles = {name: _title(name) for name in definitions}
    parts = [
        f"# Keys of a {kind}" if kind != "golden" else "# Keys of a golden file",
        f"{_WHAT[kind]} `harness schema {kind}` prints the JSON Schema, by which an editor completes and checks keys.",
        _table(content, titles),
    ]
    for name in sorted(definitions, key=titles.__getitem__):
        parts.append(f"## {titles[name]}\n\n{_table(definitions[name], titles)}")
    return "\n\n".join(parts) + "\n"


def _title(name: str) -> str:
    """A name for people: `harness__evaluations__attack__Settings` is `evaluation attack`."""
    found = re.fullmatch(r"harness__(\w+?)s__(\w+)__Settings", name)
    if found:
        return f"{found[1]} {found[2]}"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _table(definition: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """What a mapping is, and its keys."""
    keys = definition["properties"]
    first, told = _docstring(definition.get("description", ""), keys)
    required = set(definition.get("required", ()))
    rows = "\n".join(
        f"| `{key}`{' *required*' if key in required else ''} | {_type(value, titles)} | {_default(value)} | "
        f"{cell_text(told.get(key, '')).replace(chr(92) + '`', '`')} |"
        for key, value in keys.items()
    )
    return "\n\n".join(filter(None, [first, f"| key | value | default | meaning |\n|---|---|---|---|\n{rows}"]))


def _docstring(text: str, keys: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """What a docstring says of the whole, and of each key: `key: text.`, one after the other."""
    plain = " ".join(text.split())
    names = "|".join(sorted(map(re.escape, keys), key=len, reverse=True))
    pieces = re.split(rf"(?:^|(?<=[.;:)] ))({names}): ", plain)
    told = {pieces[index]: pieces[index + 1].strip() for index in range(1, len(pieces) - 1, 2)}
    return pieces[0].strip().replace("<", "&lt;"), told


def _default(value: Mapping[str, Any]) -> str:
    if "default" not in value or value["default"] is None:
        return ""
    return f"`{value['default']}`" if value["default"] not in ([], {}) else ""


def _type(value: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """What may stand there, in words."""
    if "$ref" in value:
        name = value["$ref"].removeprefix(_DEFINITIONS).removesuffix("InGroup")
        if (title := titles.get(name)) is None:
            return "name of a plugin, or a mapping that names it"
        return f"[{title}](#{title.replace(' ', '-')})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    for many in ("anyOf", "oneOf"):
        if many in value:
            kinds = [_type(each, titles) for each in value[many] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(filter(None, kinds)))
    if value.get("type") == "array":
        return f"list of {_type(value['items'], titles)}" if "items" in value else "list"
    if value.get("type") == "object":
        inner = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
        if isinstance(inner, Mapping):
            return f"mapping to {_type(inner, titles)}"
        return "name of a plugin" if "properties" in value else "mapping"
    return f"{value.get('type', 'any')}{_bounds(value)}"


def _bounds(value: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {value[key]:,}" for key, sign in words.items() if key in value]
    return f" {', '.join(found)}".rstrip()


def _python() -> str:
    parts = ["# Python API", "`import harness` gives these names."]
    for name in harness.__all__:
        value = getattr(harness, name)
        if inspect.isclass(value):
            checks = value.__pydantic_decorators__
            hidden = {*checks.model_validators, *checks.field_validators}
            methods = "\n\n".join(
                _callable(f"{name}.{each}", method, "###")
                for each, method in sorted(vars(value).items())
                if inspect.isfunction(method) and not each.startswith("_") and each not in hidden
            )
            told = "The keys are those of [the record](record.md)."
            parts.append("\n\n".join(filter(None, [f"## {name}", told, methods])))
        elif callable(value):
            parts.append(_callable(name, value, "##"))
    return "\n\n".join(parts) + "\n"


def _callable(name: str, value: Any, level: str) -> str:
    signature = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(inspect.signature(value)).replace("'", ""))
    return f"{level} {name}\n\n```python\n{name}{signature}\n```\n\n{_prose(inspect.getdoc(value) or '')}"
