"""Mutants of the text of a file: of its structure and values, or of its bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic_core import to_json

#: libyaml's, where it is there: a tenth of the time.
_LOADER, _DUMPER = getattr(yaml, "CSafeLoader", yaml.SafeLoader), getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: Of all mutants, those whose bytes are changed: the others can be parsed.
GARBLED = 0.3
HOSTILE = [
    None, True, False, 0, -1, 1, 2.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), 10**17, 2**32, 10**30,
    "", " ", "a", "a" * 300, "../../etc/passwd", "/dev/zero", "con", "x/y", "intact", "small", "a\nb", "trailing ",
    "\x1b[31mred\x1b]0;title\x07", "\u202eright\u202c", "\u200b", "[bold]x[/bold][", "{{ 7 * 7 }}", "'unclosed",
    "2020-99-99", "0x1f", "nan", "é" * 60, "#", "<script>", [], {}, [[]], [None], {"": ""}, {"select": "top"},
    ["a", 1], [0.1, 0.1],
]  # fmt: skip
SNIPPETS = [
    "2020-99-99", "!!int zz", "!!binary x", "!!python/name:os.system", "{? [a]: b}", "*nowhere", "&a [*a]", "<<: 5",
    "[" * 50, "0x_", "1:30", ".nan", "9" * 400, "!!set {a}", "- ", "\t", "\x00", "\ufeff", "'", '"\\x1b"', "|\n",
    "---\n", "1e999", "NaN", "-Infinity", '"\\ud800"', "[]", "{}", "null", "true", "-1",
]  # fmt: skip
_CHANGES = ["hostile", "hostile", "hostile", "delete", "another", "wrap", "twist", "repeat", "rename"]
Path = tuple[str | int, ...]


class _Plain(_DUMPER):  # type: ignore[valid-type,misc]
    """Writes a value that stands in two places twice: what a mutant repeats is no alias."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        return True


class Original:
    """A file that mutants are made of. Nothing of it is parsed or written anew for each of them but what changed.

    is_json: else it is YAML.
    """

    def __init__(self, content: bytes, is_json: bool) -> None:
        self._content, self._is_json = content, is_json
        self._tree: Any = json.loads(content) if is_json else yaml.load(content, _LOADER)
        self._places = list(_places(self._tree, ()))
        self._written = {} if is_json else {id(part): _yaml([part]) for part in _parts(self._tree)}

    def mutant(self, chance: random.Random) -> bytes:
        """One mutant: of the bytes, or with one to three changes of structure or values."""
        if chance.random() < GARBLED:
            return garbled(self._content, chance)
        tree = self._mutated(chance)
        text = to_json(tree, indent=1, inf_nan_mode="constants") if self._is_json else self._as_yaml(tree).encode()
        return bytes(text)

    def _mutated(self, chance: random.Random) -> Any:
        if not self._places:
            return chance.choice(HOSTILE)
        tree = copy.copy(self._tree)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            *way, key = chance.choice(self._places)
            holder = tree
            try:
                for part in way:  # what is changed is copied, and what leads to it
                    holder[part] = copy.copy(holder[part])
                    holder = holder[part]
                self._change(holder, key, chance)
            except (KeyError, IndexError, TypeError, AttributeError):
                continue  # an earlier change has taken the place away
        return tree

    def _change(self, holder: Any, key: Any, chance: random.Random) -> None:
        what, held = chance.choice(_CHANGES), holder[key]
        if what == "delete":
            del holder[key]
        elif what == "another":
            other = self._tree
            for part in chance.choice(self._places):
                other = other[part]
            holder[key] = other
        elif what == "wrap":
            holder[key] = chance.choice([[held], {"a": held}, str(held)])
        elif what == "twist" and isinstance(held, int | float) and not isinstance(held, bool):
            holder[key] = chance.choice([-held, held * 1e9, held + 0.5, 1 - held])
        elif what == "repeat" and isinstance(holder, list):
            holder.append(held)
        elif what == "rename" and isinstance(holder, dict):
            holder[chance.choice(["id", "title", "", "x", f"{key}s"])] = holder.pop(key)
        else:
            holder[key] = chance.choice(HOSTILE)

    def _as_yaml(self, tree: Any) -> str:
        """As PyYAML writes it; entries of the file that did not change, and items of its lists, as they were."""
        if not isinstance(tree, dict) or not tree:
            return _yaml(tree)
        text = ""
        for key, value in tree.items():
            if isinstance(value, list) and value:
                text += _yaml({key: []}).replace(" []\n", "\n")
                text += "".join(self._written.get(id(item)) or _yaml([item]) for item in value)
            else:
                text += _yaml({key: value})
        return text


def _parts(tree: Any) -> Iterator[Any]:
    """Items of lists of a mapping, which are written by themselves."""
    for value in tree.values():
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, dict | list) and item)


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True)


def _places(node: Any, way: Path) -> Iterator[Path]:
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*way, key)
        yield from _places(inner, (*way, key))


def garbled(content: bytes, chance: random.Random) -> bytes:
    """Bytes with a few of them changed, cut out, doubled, or something hostile put between or in a value's place."""
    for _ in range(chance.choice([1, 1, 2])):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice([0, 1, 1, 8, 200]))
        between = chance.choice([b"", b"\xff", bytes([chance.randrange(256)]), content[start:end] * 2])
        if chance.random() < 0.5:
            between = chance.choice(SNIPPETS).encode("utf-8", "surrogatepass")
            colon = content.find(b": ", start)
            if colon >= 0:
                start = colon + 2
                line = content.find(b"\n", start)
                end = chance.choice([start, len(content) if line < 0 else line])
        content = content[:start] + between + content[end:]
    return content if chance.random() > 0.05 else content[: chance.randrange(len(content) + 1)]
