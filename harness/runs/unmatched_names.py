"""Names that nothing here has, and that need not be wrong: what they name may lie on another machine, or come later."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from harness import plugins
from harness.errors import UserError
from harness.runs.names import Problem, variants_here
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model, located
from harness.spec.validation import LookUp, model_of


def unmatched(beside: Sequence[Path]) -> LookUp:
    """What tells of a file that was read which of its names nothing of the catalogues, or among `beside`, has.

    They are names of variants and benchmarks: a golden file that names another is never compared with anything, and
    cells for another are measured on none.
    """
    variants = cache(lambda: {variant.name for variant in variants_here(beside)})
    benchmarks = cache(lambda: set(_benchmarks(beside)))

    def told(path: Path, loaded: object) -> list[str]:
        problems: list[Problem] = []
        if isinstance(loaded, GoldenFile):
            problems = [
                *_unknown("variant", loaded.variant, variants(), "its folder given with --model"),
                *_unknown("benchmark", loaded.benchmark, benchmarks(), "its file given by its path"),
            ]
        elif isinstance(loaded, BenchmarkSpec):
            problems = list(_patterns_of_none(loaded, variants()))
        return located(path, problems)

    return told


def _unknown(key: str, name: str, known: Collection[str], otherwise: str) -> Iterator[Problem]:
    if name not in known:
        near = plugins.suggestion(name, known)
        yield (key,), f"no {key} here is called {name!r}, so these values count for none but {otherwise}; {near}"


def _patterns_of_none(spec: BenchmarkSpec, known: Collection[str]) -> Iterator[Problem]:
    for index, group in enumerate(spec.cells):
        for number, pattern in enumerate(group.variants):
            if not any(fnmatchcase(name, pattern) for name in known):
                near = plugins.suggestion(pattern.replace("*", ""), known)
                yield (
                    ("cells", index, "variants", number),
                    f"no variant here is called {pattern!r}, so these cells are measured on none of them; {near}",
                )


def _benchmarks(beside: Sequence[Path]) -> Iterator[str]:
    yield from (path.stem for path in locations.benchmark_paths())
    for path in beside:
        try:
            if model_of(path) is BenchmarkSpec:
                yield load_yaml_model(path, BenchmarkSpec).id
        except UserError:  # it is told where it is checked itself
            continue
