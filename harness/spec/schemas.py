"""JSON Schemas of the four kinds of file, made from the models that read them. Editors complete and check keys by them.

They know what ships. An entry that names a plugin of another distribution is let through.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness import plugins
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.finetuning import FineTuningSettings
from harness.spec.golden import GoldenFile
from harness.spec.region import REGION_MARK, region_kinds
from harness.spec.result import RunRecord
from harness.spec.variant import ModelVariant

#: What each kind of file is read as.
KINDS: Mapping[str, type[BaseModel]] = {
    "benchmark": BenchmarkSpec,
    "variant": ModelVariant,
    "golden": GoldenFile,
    "record": RunRecord,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS = "#/$defs/"
#: Behind the name of a definition: without the keys that a grid may set in its place.
_IN_GROUP = "InGroup"


def schema(kind: str) -> dict[str, Any]:
    """The schema of one of `KINDS`."""
    content: dict[str, Any] = {"$schema": _DIALECT, **KINDS[kind].model_json_schema()}
    if kind == "golden":  # the file's own source is that of each value which names none
        content["$defs"]["GoldenValue"]["required"].remove("source")
    return _of_benchmark(content) if kind == "benchmark" else content


def schema_text(kind: str) -> str:
    """The schema as its file has it."""
    return json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n"


def file_of(kind: str) -> str:
    """The name of the file of a schema."""
    return f"{kind}.schema.json"


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas into a folder, which is made where it is missing. Returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / file_of(kind) for kind in KINDS]
    for kind, path in zip(KINDS, paths, strict=True):
        path.write_text(schema_text(kind), encoding="utf-8")
    return paths


def _of_benchmark(content: dict[str, Any]) -> dict[str, Any]:
    """With the kinds of region, which are found when a file is read, and with names of plugins that do not ship."""
    definitions = content["$defs"]
    shipped = {name.replace("_", "-") for name in plugins.shipped_names("regions")}
    models: dict[str, type[BaseModel]] = {
        _region_name(select): kind for select, kind in region_kinds().items() if select in shipped
    }
    models["FineTuning"] = FineTuningSettings
    for name, model in models.items():
        own = model.model_json_schema()
        definitions |= own.pop("$defs", {})
        definitions[name] = own
    partial = {name: _without_required(definitions[name]) for name in models}
    definitions |= {name + _IN_GROUP: _in_group(each) for name, each in partial.items()}
    group = definitions["CellGroup"]["properties"]
    group["region"]["anyOf"][0] = _any_region(sorted(shipped), _IN_GROUP)
    group["fine_tuning"]["anyOf"][0] = {"$ref": f"{_DEFINITIONS}FineTuning{_IN_GROUP}"}
    evaluations = content["properties"]["evaluations"]["items"]
    evaluations["anyOf"] = [
        *evaluations.pop("oneOf"),
        _named_otherwise("kind", list(evaluations["discriminator"]["mapping"])),
    ]
    del evaluations["discriminator"]
    definitions["DeclaredJudge"] = {
        "anyOf": [{"type": "string"}, {**definitions["DeclaredJudge"], "additionalProperties": True}]
    }
    resolved: dict[str, Any] = _with_regions(content)
    return resolved


def _region_name(select: str) -> str:
    return "Region" + "".join(word.capitalize() for word in select.split("-"))


def _any_region(kinds: list[str], suffix: str = "") -> dict[str, Any]:
    """One of these kinds, or a plugin of another distribution."""
    shipped = sorted(name.replace("_", "-") for name in plugins.shipped_names("regions"))
    known = [{"$ref": f"{_DEFINITIONS}{_region_name(kind)}{suffix}"} for kind in kinds]
    return {"anyOf": [*known, _named_otherwise("select", shipped)]}


def _named_otherwise(key: str, names: list[str]) -> dict[str, Any]:
    """A mapping whose key names none of these."""
    return {"type": "object", "properties": {key: {"type": "string", "not": {"enum": names}}}, "required": [key]}


def _without_required(definition: dict[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in definition.items() if key != "required"}


def _in_group(content: Any) -> Any:
    """With regions as they stand in a group."""
    if isinstance(content, dict):
        if REGION_MARK in content:
            return _any_region(content[REGION_MARK], _IN_GROUP)
        return {key: _in_group(value) for key, value in content.items()}
    return [_in_group(each) for each in content] if isinstance(content, list) else content


def _with_regions(content: Any) -> Any:
    """With a choice of regions in the place of each mark."""
    if isinstance(content, dict):
        if REGION_MARK in content:
            return _any_region(content[REGION_MARK])
        return {key: _with_regions(value) for key, value in content.items()}
    return [_with_regions(each) for each in content] if isinstance(content, list) else content
