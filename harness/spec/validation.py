"""Check YAML files one by one, and golden files against the specs whose figures they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.coverage import lacking
from harness.spec.golden import GoldenFile
from harness.spec.golden_prompts import GoldenPrompts
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import PinnedData
from harness.spec.variant import ModelVariant
from harness.spec.yaml_text import read_yaml

_Model = type[BenchmarkSpec] | type[ModelVariant] | type[GoldenFile] | type[GoldenPrompts] | type[PinnedData]
#: What more is wrong with a file, or doubtful in it, of its path and what it holds.
LookUp = Callable[[Path, object], list[str]]
#: So many missing figures are named.
NAMED = 3


def _nothing(_path: Path, _loaded: object) -> list[str]:
    return []


def validate_files(
    paths: Sequence[Path], look_up: LookUp = _nothing, doubtful: LookUp = _nothing
) -> tuple[int, list[str]]:
    """Check these files, or those of all catalogues. Returns their number, and what is doubtful in them.

    look_up: what is wrong with a file that can be read. doubtful: what in it may be meant, and may be a slip.
    Raises one UserError with every problem.
    """
    problems: list[str] = []
    doubts: list[str] = []
    chosen = list(paths) or [
        *locations.benchmark_paths(),
        *locations.variant_paths(),
        *locations.golden_paths(),
        *locations.golden_prompts_paths(),
        locations.pinned_data_path(),
    ]
    for path in chosen:
        try:
            loaded = load_yaml_model(path, model_of(path))
            problems += look_up(path, loaded)
            doubts += doubtful(path, loaded)
            if isinstance(loaded, GoldenFile):
                problems += _incomplete(path, loaded)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return len(chosen), doubts


def _incomplete(path: Path, golden: GoldenFile) -> list[str]:
    """What a golden file lacks of a benchmark and variant of the catalogues; of others no spec is at hand."""
    specs, variants = (
        {each.stem: each for each in found} for found in (locations.benchmark_paths(), locations.variant_paths())
    )
    if golden.benchmark not in specs or golden.variant not in variants:
        return []
    absent = lacking(
        golden,
        load_yaml_model(specs[golden.benchmark], BenchmarkSpec),
        load_yaml_model(variants[golden.variant], ModelVariant),
    )
    if not absent:
        return []
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    return [
        f"{path}: values: no golden value for {', '.join(absent[:NAMED])}{more}. Every metric that "
        f'{golden.benchmark} measures on {golden.variant} needs one: harness accept RECORD --reason "…" writes the '
        "whole file"
    ]


def model_of(path: Path) -> _Model:
    """What a YAML file is, by the keys that only one kind has. Raises UserError where it is no YAML."""
    content, _ = read_yaml(path)
    keys = set(content) if isinstance(content, dict) else set()
    if "files" in keys:
        return PinnedData
    if {"prompts", "template_sha256"} & keys:
        return GoldenPrompts
    if {"variant", "values"} & keys:
        return GoldenFile
    return ModelVariant if {"family", "chat_template", "dtype"} & keys else BenchmarkSpec
