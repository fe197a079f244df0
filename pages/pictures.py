"""The figure of a benchmark from golden values, drawn by the layout that its spec names."""

from __future__ import annotations

import re

from harness.reports.pages import drawing_of
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec, CellGroup
from harness.spec.golden import GoldenFile, GoldenValue
from harness.spec.loading import load_yaml_model
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, RunRecord
from harness.spec.variant import ModelVariant

#: Links of the report's figures lead to its cells, which a page of results does not have.
_LINKS = re.compile(r"</?a\b[^>]*>")


def pictures(spec: BenchmarkSpec, golden: GoldenFile) -> tuple[list[str], str, str]:
    """SVG files, a table in HTML where the layout draws none, and what they show; published values stand beside.

    Golden values have no intervals, so that none are drawn.
    """
    drawing, _ = drawing_of(_record(spec, golden), locations.golden_paths())
    if drawing is None:
        return [], "", ""
    content = _LINKS.sub("", str(drawing.content))
    found = re.findall(r"<svg.*?</svg>", content, flags=re.DOTALL)
    svgs = [each.replace("<svg", '<svg style="background:white"', 1) for each in found]
    table = "" if svgs else re.sub(r"\s*\n\s*", " ", content)
    return svgs, table, drawing.caption


def _record(spec: BenchmarkSpec, golden: GoldenFile) -> RunRecord:
    """What a layout reads of a record, and nothing else: figures by cell, the spec and the variant."""
    variant = load_yaml_model(locations.find_variant(golden.variant), ModelVariant)
    cells = []
    for group in map(CellGroup.model_validate, spec.model_dump(mode="json")["cells"]):
        for declared in map(group.declaration, group.points()):
            own = [value for value in golden.values if value.cell == declared["id"]]
            if own:
                cells.append(_cell(group, declared, own))
    return RunRecord.model_construct(
        id=f"{golden.variant}/{golden.benchmark}/golden",
        spec=spec.model_dump(mode="json"),
        variant=variant.as_record(),
        cells=tuple(cells),
        skipped_cells={},
        checks=(),
        claims=(),
    )


def _cell(group: CellGroup, declared: dict, values: list[GoldenValue]) -> CellResult:
    figures = (Measurement(metric=each.metric, value=each.value, n=0, valid=each.valid) for each in values)
    return CellResult(
        id=declared["id"],
        group=declared["group"],
        title=group.title,
        parameters=declared["parameters"],
        receipt=None,
        measurements=tuple(figures),
        completion_classes={},
        invalid_is_expected=declared["invalid_is_expected"],
        completions_sha256="",
        seconds=0.0,
    )
