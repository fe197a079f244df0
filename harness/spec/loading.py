"""YAML -> validated models. All errors of a file at once, each with file, line, key and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.errors import UserError
from harness.spec.benchmark import PROBLEMS, UNRESOLVED, BenchmarkSpec, EvaluationSettings
from harness.spec.cell import Cell, CellGroup, key_path, sound_cells
from harness.spec.claim import Claim
from harness.spec.common import KeyPath, file_name
from harness.spec.region import RegionSettings, region_kinds
from harness.spec.resolution import Parts, unresolved
from harness.spec.yaml_text import read_yaml

Model = TypeVar("Model", bound=BaseModel)
#: Keys of version 1.0.0 by what they are called now.
RENAMED = {"fates": "scorer_rules"}


def load_yaml_model(path: Path, model: type[Model]) -> Model:
    """Read one YAML file into `model`. Raises UserError that lists every problem of the file."""
    content, lines = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}:1: expected a mapping of {model.__name__} fields, got {_kind(content)}")
    loaded, problems = _validated(content, model)
    if problems or loaded is None:
        placed = sorted(((_line(lines, key), dotted(key), text) for key, text in problems))
        raise UserError("\n".join(f"{path}:{line}: {key}{text}" for line, key, text in placed))
    return loaded


def located(path: Path, problems: Iterable[tuple[KeyPath, str]]) -> list[str]:
    """What is wrong at keys of a YAML file that can be read, each with file, line and key."""
    found = list(problems)
    lines = read_yaml(path)[1] if found else {}
    placed = sorted((_line(lines, key), dotted(key), text) for key, text in found)
    return [f"{path}:{line}: {key}: {text}" for line, key, text in placed]


def line_of_entry(path: Path, section: str, name: str) -> int:
    """Line of a spec where the entry of that id begins in `cells` or `claims`; the section's where it has none."""
    content, lines = read_yaml(path)
    entries = content.get(section) if isinstance(content, dict) else None
    found = [
        index
        for index, entry in enumerate(entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("id") == name
    ]
    return _line(lines, (section, *found[:1]))


def recorded_spec(content: dict[str, Any], record: Path) -> BenchmarkSpec:
    """The spec that a record holds. Raises UserError that lists every key which does not fit this version."""
    loaded, problems = _validated(content, BenchmarkSpec)
    if problems or loaded is None:
        keys = "\n".join(f"{record}: spec.{dotted(key)}{text}" for key, text in problems)
        raise UserError(
            f"{record}: its spec is of another version of the harness; run it with that version, or write its "
            f"benchmark as YAML for this one:\n{keys}"
        )
    return loaded


def _validated(content: dict[str, Any], model: type[Model]) -> tuple[Model | None, list[tuple[KeyPath, str]]]:
    """The model, or None, and every problem with the key at which it lies."""
    problems: list[tuple[KeyPath, str]] = []
    loaded: Model | None = None
    try:
        loaded = model.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            if item["type"] == UNRESOLVED:
                problems += [(key, f": {text}") for key, text in item["ctx"][PROBLEMS]]
            else:
                problems.append((_without_tags(item["loc"], content), _explain(item, model)))
    if issubclass(model, BenchmarkSpec):
        problems += _grid_problems(content)
        if loaded is None:
            problems += [(key, f": {text}") for key, text in unresolved(_sound_parts(content))]
    return loaded, list(dict.fromkeys(problems))


def _sound_parts(content: dict[str, Any]) -> Parts:
    """What a faulty spec holds that is whole, so that all its faults are told at once."""
    cells = sound_cells(_sound(content, "cells", CellGroup))
    evaluations = _sound(content, "evaluations", EvaluationSettings)
    calibration = content.get("calibration")
    return Parts(
        calibration if isinstance(calibration, dict) else {},
        cells,
        evaluations,
        _sound(content, "claims", Claim),
        all_cells=len(cells) == _length(content, "cells"),
        all_evaluations=len(evaluations) == _length(content, "evaluations"),
    )


def _sound(content: dict[str, Any], section: str, kind: Any) -> dict[int, Any]:
    entries: dict[int, Any] = {}
    model = _adapter(kind)
    for index, raw in enumerate(content[section] if _length(content, section) else []):
        with suppress(ValidationError):  # told by the validation of the whole
            entries[index] = model.validate_python(raw)
    return entries


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Built once for each of the three kinds of entries, which takes longer than to read one."""
    return TypeAdapter(kind)


def _length(content: dict[str, Any], section: str) -> int:
    """Number of entries of a section that is a list, 0 for anything else."""
    entries = content.get(section)
    return len(entries) if isinstance(entries, list) else 0


def _line(lines: dict[KeyPath, int], key: KeyPath) -> int:
    """Line of the key, or of the nearest enclosing one that the file holds."""
    while key not in lines:
        key = key[:-1]
    return lines[key]


def _without_tags(location: tuple[str | int, ...], content: Any) -> KeyPath:
    """Pydantic puts the tag of a discriminated union into the location; the file has no such key."""
    kept: list[str | int] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        inside = content is not None and (
            (isinstance(content, dict) and part in content)
            or (isinstance(content, list) and isinstance(part, int) and part < len(content))
        )
        if inside:
            kept.append(part)
            content = content[part]
        elif last:
            kept.append(part)
    return tuple(kept)


def _explain(item: Any, model: type[BaseModel]) -> str:
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return f" is no key here{_close_key(item['loc'], model)}"
    if kind == "missing":
        return " is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = item.get("ctx", {})
        key = str(context.get("discriminator", "")).strip("'")
        tag = str(context.get("tag", ""))
        expected = str(context.get("expected_tags", "")).replace("'", "").split(", ")
        guess = difflib.get_close_matches(tag, expected, n=1)
        return f": {key} is {tag or 'missing'}; expected one of {', '.join(filter(None, expected)) or 'its kinds'}" + (
            f" (did you mean {guess[0]}?)" if guess else ""
        )
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    shown = (
        ""
        if isinstance(given, dict | list) or (kind == "value_error" and not isinstance(given, str))
        else f" is {given!r};"
    )
    message = message.replace("input should be", "expected").replace("tuple", "list")
    return f"{shown} {message}" if shown else f": {message}"


def _close_key(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """'; did you mean …?' from all field names of the models that this file can hold; of an old key its new name."""
    if (name := RENAMED.get(str(location[-1]))) is not None:
        return f"; after version 1.0.0 it was renamed to {name!r}"
    known = _field_names(model, set())
    close = difflib.get_close_matches(str(location[-1]), sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _field_names(model: Any, seen: set[Any]) -> set[str]:
    """Names of all fields of a model and of the models inside it."""
    if model in seen:
        return set()
    seen.add(model)
    names: set[str] = set()
    if model is RegionSettings:  # what is written under `select` decides which
        return names.union(*(_field_names(kind, seen) for kind in region_kinds().values()))
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            names.add(name)
            names |= _field_names_in(field.annotation, seen)
    return names


def _field_names_in(annotation: Any, seen: set[Any]) -> set[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _field_names(annotation, seen)
    names: set[str] = set()
    for inner in getattr(annotation, "__args__", ()):
        names |= _field_names_in(inner, seen)
    return names


def _grid_problems(content: dict[str, Any]) -> list[tuple[KeyPath, str]]:
    """Cells are complete only with their grid point: expand every group and locate what is wrong."""
    problems: list[tuple[KeyPath, str]] = []
    groups = content.get("cells")
    for index, raw in enumerate(groups if isinstance(groups, list) else []):
        try:
            group = CellGroup.model_validate(raw)
        except ValidationError:
            continue  # reported with the whole spec
        for number, point in enumerate(group.points()):
            declared = group.declaration(point)
            try:
                Cell.model_validate(declared)
            except ValidationError as error:
                for item in error.errors():
                    place = _grid_place(group, number, point, _key_in_cell(item, declared))
                    problem = (("cells", index, *place), _explain(item, Cell))
                    if problem not in problems:
                        problems.append(problem)
    return problems


def _key_in_cell(item: Any, declared: dict[str, Any]) -> KeyPath:
    """Where in the cell an error is; an unknown kind of region lies in the key that names the kind."""
    path = _without_tags(item["loc"], declared)
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*path, item["ctx"]["discriminator"].strip("'"))
    return path


def _grid_place(group: CellGroup, number: int, point: dict[str, Any], path: KeyPath) -> KeyPath:
    """The key of the grid that set a value, or else the value's own place in the group."""
    for key, value in point.items():
        if tuple(key_path(key)) == path or (path == ("id",) and not _is_file_name(f"{group.id}{value}")):
            return ("grid", key) if isinstance(group.grid, dict) else ("grid", number, key)
    return path


def _is_file_name(text: str) -> bool:
    try:
        return bool(file_name(text))
    except ValueError:
        return False


def dotted(key: KeyPath) -> str:
    """A key as it is told: `cells[2].region.method`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + str(part)
    return text


def _kind(content: Any) -> str:
    return "an empty file" if content is None else f"a {type(content).__name__}"
