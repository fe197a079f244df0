"""Results: one page for each benchmark, and a matrix of models by claims, all from golden values and specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.reports.document import cell_text, markdown_table
from harness.reports.text import source_words
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile, GoldenValue
from harness.spec.loading import load_yaml_model
from pages.pictures import pictures

#: The share of the intact model's accuracy that a state has to keep.
KEPT = 0.9
_ACCURACY = "accuracy_mean"
_ATTACKS = ("asr_vanilla", "asr_adv_suffix", "asr_adv_decoding")
_MARK = {"supported": "✓ supported", "contradicted": "✗ contradicted", "underpowered": "~ underpowered"}


def shipped() -> tuple[dict[str, BenchmarkSpec], list[GoldenFile]]:
    """The benchmarks and golden files that ship, not those of other catalogues."""
    root = locations.root()
    specs = {path.stem: load_yaml_model(path, BenchmarkSpec) for path in sorted((root / "benchmarks").glob("*.yaml"))}
    golden = [load_yaml_model(path, GoldenFile) for path in sorted((root / "golden").glob("*/*.yaml"))]
    return specs, golden


def page_titles() -> dict[str, str]:
    """By the path of each page that is made for a benchmark, its title."""
    paths = sorted((locations.root() / "benchmarks").glob("*.yaml"))
    return {_path(path.stem): path.stem for path in paths}


def result_pages() -> dict[str, str]:
    """Every page of results that is made, by its path below docs/."""
    specs, golden = shipped()
    pages = {"results/matrix.md": _matrix(specs, golden)}
    for name, spec in specs.items():
        own = [each for each in golden if each.benchmark == name]
        pages |= _page(spec, own)
    return pages


def _path(benchmark: str) -> str:
    return f"results/benchmark-{benchmark}.md"


def measured(golden: Sequence[GoldenFile]) -> list[GoldenFile]:
    """Those whose values come from a run here."""
    return [each for each in golden if any(value.source.record is not None for value in each.values)]


def _matrix(specs: Mapping[str, BenchmarkSpec], golden: Sequence[GoldenFile]) -> str:
    ours = measured(golden)
    models = sorted({each.variant for each in ours})
    rows = []
    for name, spec in specs.items():
        outcomes = {each.variant: each.claims for each in ours if each.benchmark == name}
        for claim in spec.claims:
            found = [_outcome(outcomes.get(model, {}).get(claim.id), claim.expect) for model in models]
            rows.append(f"| [{name}]({Path(_path(name)).name}) | {cell_text(claim.says)} | {' | '.join(found)} |")
    header = f"| benchmark | claim | {' | '.join(models)} |\n|{'---|' * (len(models) + 2)}"
    return (
        "\n\n".join(
            [
                "# Models by claims",
                "The outcomes are those of accepted runs. The organisms are built so that the effect exists. "
                "They are no evidence for the paper. [Limits](../limits.md) says which models were never run.",
                "*Underpowered* means that the 95% interval decides neither way. "
                "*Control* marks a claim that must be supported in every run.",
                f"{header}\n" + "\n".join(rows),
                "## Largest attack success with little accuracy lost",
                f"The table has the largest ASR of any state that keeps {KEPT:.0%} of the intact model's accuracy. "
                "Only valid figures count.",
                markdown_table(
                    ("model", "attack", "largest ASR", "accuracy, intact", "state", "benchmark"), _largest(ours)
                ),
            ]
        )
        + "\n"
    )


def _outcome(found: str | None, expect: str | None) -> str:
    if found is None:
        return "control" if expect else "-"
    return _MARK.get(found, found)


def _largest(golden: Sequence[GoldenFile]) -> list[tuple[str, ...]]:
    """One row for each model and attack."""
    rows = []
    for model in sorted({each.variant for each in golden}):
        for attack in _ATTACKS:
            best: tuple[float, tuple[str, ...]] | None = None
            for each in (file for file in golden if file.variant == model):
                for cell, figures in _by_cell(each).items():
                    intact = _by_cell(each).get("intact", {}).get(_ACCURACY)
                    asr, accuracy = figures.get(attack), figures.get(_ACCURACY)
                    if intact is None or asr is None or accuracy is None or accuracy < KEPT * intact:
                        continue
                    row = (model, attack, f"{asr:.2f}", f"{accuracy:.3f}, {intact:.3f}", cell, each.benchmark)
                    if best is None or asr > best[0]:
                        best = (asr, row)
            if best:
                rows.append(best[1])
    return rows


def _by_cell(golden: GoldenFile) -> dict[str, dict[str, float]]:
    """The valid figures of our own run by cell and metric."""
    cells: dict[str, dict[str, float]] = {}
    for value in golden.values:
        if value.valid and value.source.record is not None:
            cells.setdefault(value.cell, {})[value.metric] = value.value
    return cells


def _page(spec: BenchmarkSpec, golden: Sequence[GoldenFile]) -> dict[str, str]:
    """The page of a benchmark, and the files of its pictures."""
    files: dict[str, str] = {}
    ours = measured(golden)
    parts = [
        f"# {spec.id}: {spec.title}",
        f"Source: {cell_text(source_words(spec.model_dump(mode='json')['source']))}.",
    ]
    for each in ours:
        svgs, table, caption = pictures(spec, each)
        if svgs or table:
            parts.append(f"## The figure on {each.variant}")
        for number, svg in enumerate(svgs):
            name = f"{spec.id}-{each.variant}-{number}.svg"
            files[f"results/{name}"] = svg
            parts.append(f"![{spec.title}, on {each.variant}]({name})")
        if table:
            parts.append(f'<div class="figure">{table}</div>')
        if caption:
            parts.append(f"*Drawn from golden values, which have no intervals. {cell_text(caption)}*")
    if spec.claims:
        parts += ["## What it says on each model", _claims(spec, ours)]
    for each in golden:
        parts.append(_values(spec, each))
    parts += [
        "## Run it",
        f"    harness run {spec.id} --model tiny-llama2-chat\n    harness run {spec.id} --model DIR_OR_YAML",
    ]
    return {**files, _path(spec.id): "\n\n".join(parts) + "\n"}


def _claims(spec: BenchmarkSpec, golden: Sequence[GoldenFile]) -> str:
    rows = [
        (
            claim.id,
            claim.says,
            claim.section,
            *(_outcome(each.claims.get(claim.id), claim.expect) for each in golden),
        )
        for claim in spec.claims
    ]
    return markdown_table(("claim", "what it says", "section", *(each.variant for each in golden)), rows)


#: Metrics of a table, at most: the rest is one for each layer, head or task.
_MOST = 8


def _values(spec: BenchmarkSpec, golden: GoldenFile) -> str:
    """The main figures of every state; all of them stand in the golden file."""
    found: dict[str, dict[str, GoldenValue]] = {}
    for value in golden.values:
        if "/" not in value.metric:
            found.setdefault(value.cell, {})[value.metric] = value
    preferred = [metric for evaluation in spec.evaluations for metric in evaluation.metrics]
    there = {metric for values in found.values() for metric in values}
    metrics = [metric for metric in dict.fromkeys(preferred) if metric in there][:_MOST]
    metrics += [metric for metric in sorted(there - set(metrics)) if metric == _ACCURACY]
    if not metrics:
        return ""
    rows = [(cell, *(_figure(values.get(metric)) for metric in metrics)) for cell, values in found.items()]
    ours = any(value.source.record is not None for value in golden.values)
    what = "Golden values of a run here" if ours else "**Printed by the publication; never run here.** Golden values"
    place = f"golden/{golden.variant}/{golden.benchmark}.yaml"
    first = f"{what}. All of them lie in `{place}`. In brackets: INVALID, and expected to be."
    return f"## Values on {golden.variant}\n\n{first}\n\n{markdown_table(('state', *metrics), rows)}"


def _figure(value: GoldenValue | None) -> str:
    if value is None:
        return "-"
    text = f"{value.value:.3g}"
    return text if value.valid else f"({text})"
