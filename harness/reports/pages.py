"""What a page of the report shows of one record."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import plugins
from harness.reports.layouts.base import Drawing
from harness.reports.results import published_results
from harness.runs.journal import Journal
from harness.spec.result import CellResult, Check, Completion, Measurement, RunRecord

#: Completions of each class that a cell shows.
SHOWN_PER_CLASS = 2
#: The metrics that stand first in a table of cells, in this order.
FIRST_COLUMNS = ("asr_vanilla", "asr_adv_suffix", "asr_adv_decoding", "answered_vanilla", "answered_benign",
                 "accuracy_mean", "perplexity")  # fmt: skip
#: Metrics of single layers, heads, tasks and rules of counting: in a cell's details, and in no column. So are the
#: means over layers of one type, and of overlap shares, which would make a table of a hundred columns.
DETAIL = re.compile(r".*/.*|.*_any|refused_.*|answered_adv_.*|accuracy_(?!mean$).*|planted_.*|.*_mean_\w+_proj"
                    r"|.*_overlap_share_mean.*|fate_.*_adv_.*|asr_without_word_rule_adv_.*")  # fmt: skip


@dataclass(frozen=True)
class Page:
    """One record, what its layout made of it, and where its cells were measured.

    columns: metrics of the table of cells. shared: (page, cell) by the id of a cell that another record of the
    report has measured; its texts are shown there. again: the command that runs the record's own spec; explain: the
    one that says why one of its cells is as it is, without the cell.
    """

    record: RunRecord
    anchor: str
    drawing: Drawing | None
    layout_problem: str | None
    columns: list[str]
    shared: dict[str, tuple[str, str]]
    completions: dict[str, list[Completion]]
    again: str
    explain: str

    @property
    def claims_by_status(self) -> dict[str, int]:
        """Number of claims by their outcome."""
        return dict(Counter(claim.status for claim in self.record.claims))

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.record.checks if check.status != "passed"]

    @property
    def passed(self) -> int:
        """Number of checks that passed."""
        return len(self.record.checks) - len(self.failed)

    @property
    def organism(self) -> bool:
        """Whether the variant is a model whose planted region is known."""
        return self.record.variant.get("planted_region") is not None

    def measured(self, cell: CellResult) -> dict[str, Measurement]:
        """The measurements of a cell by metric."""
        return {measured.metric: measured for measured in cell.measurements}


def page_of(
    path: Path, record: RunRecord, others: Mapping[str, str], golden_paths: Iterable[Path], shown_path: Path
) -> Page:
    """The page of the record at `path`.

    others: the anchors of the report's pages by their records' ids. shown_path: where the record lies, as seen
    from the folder that holds the folder of runs.
    """
    drawing, problem = drawing_of(record, golden_paths)
    shared = _shared(record, others)
    return Page(
        record, others[record.id], drawing, problem, columns_of(record.cells), shared,
        {cell.id: [] if cell.id in shared else _examples(path, record, cell) for cell in record.cells},
        f"harness run {shlex.quote(str(shown_path))} --model {shlex.quote(_model_as_given(record))}",
        f"harness explain {shlex.quote(str(shown_path))}",
    )  # fmt: skip


def _model_as_given(record: RunRecord) -> str:
    """The model as the recorded command names it: a variant from a file has a name that no command knows."""
    _, _, model = record.provenance.command.partition(" --model ")
    return next(iter(shlex.split(model)), record.variant["name"])


def drawing_of(record: RunRecord, golden_paths: Iterable[Path]) -> tuple[Drawing | None, str | None]:
    """What the layout that the spec names makes of the record, or why there is nothing."""
    layout = record.spec.get("layout")
    if layout is None:
        return None, "The spec of this record names no layout."
    if layout.replace("-", "_") not in plugins.names("reports.layouts"):
        return None, f"The spec names the layout {layout!r}, which this version does not have."
    published = published_results(record, golden_paths)
    drawing = plugins.load("reports.layouts", layout).draw(record, published)
    return drawing, None if drawing else f"The record has no cell with figures that the layout {layout!r} shows."


def columns_of(cells: Sequence[CellResult]) -> list[str]:
    """The metrics that a table of these cells has columns for: those that the cells have, details left out."""
    present = dict.fromkeys(measured.metric for cell in cells for measured in cell.measurements)
    first = [metric for metric in FIRST_COLUMNS if metric in present]
    return first + [metric for metric in present if metric not in first and not DETAIL.fullmatch(metric)]


def _shared(record: RunRecord, others: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    places = {cell.id: (cell.measured_in or "").partition("#") for cell in record.cells}
    return {cell_id: (others[run], cell) for cell_id, (run, _, cell) in places.items()
            if run in others and run != record.id}  # fmt: skip


def _examples(path: Path, record: RunRecord, cell: CellResult) -> list[Completion]:
    """A few completions of each class of a cell, for organisms only: those of real models are withheld."""
    if not record.variant.get("show_completions"):
        return []
    source = Journal(path.parent).completions_path(cell.id)
    if not source.is_file():
        return []
    seen: Counter[tuple[str, str | None]] = Counter()
    chosen = []
    for line in source.read_text(encoding="utf-8").splitlines():
        completion = Completion.model_validate_json(line)
        key = (completion.evaluation, completion.completion_class)
        seen[key] += 1
        if seen[key] <= SHOWN_PER_CLASS:
            chosen.append(completion)
    return sorted(chosen, key=lambda completion: (completion.evaluation, str(completion.completion_class)))
