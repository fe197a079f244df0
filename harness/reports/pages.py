"""What a page of the report shows of one record."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import plugins
from harness.reports.examples import Examples, examples_of, is_organism
from harness.reports.layouts.base import Drawing
from harness.reports.receipts import ReceiptRow, receipt_rows
from harness.reports.results import published_results
from harness.spec.judge import JudgeFound
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, Check, RunRecord

#: The metrics that stand first in a table of cells, in this order.
FIRST_COLUMNS = (
    "asr_vanilla",
    "asr_adv_suffix",
    "asr_adv_decoding",
    "answered_vanilla",
    "answered_benign",
    "accuracy_mean",
    "perplexity",
)
#: Metrics of single layers, heads, tasks and rules of counting: in a cell's details, and in no column. So are the
#: means over layers of one type, and of overlap shares, which would make a table of a hundred columns.
DETAIL = re.compile(
    r".*/.*|.*_any|refused_.*|answered_adv_.*|accuracy_(?!mean$).*|planted_.*|.*_mean_\w+_proj"
    r"|.*_overlap_share_mean.*|scorer_rule_.*_adv_.*|asr_without_word_rule_adv_.*|asr_.*_by_.*"
)

#: A metric's family and what was measured of it, in tables that have a row for each metric.
MEASURE = re.compile(r"(?P<family>.+?)_(?P<measure>(?:jaccard|overlap_share|unchanged_share|mean).*)")
#: The most columns of figures that a table of cells has.
WIDEST = 10


@dataclass(frozen=True)
class Page:
    """One record, what its layout made of it, and where its cells were measured.

    columns: metrics of the table of cells. shared: (page, cell) by the id of a cell that another record of the
    report has measured; its texts are shown there. examples: the texts of the other cells. again: the command that
    runs the record's own spec; explain: the one that says why one of its cells is as it is, without the cell.
    """

    record: RunRecord
    anchor: str
    drawing: Drawing | None
    layout_problem: str | None
    columns: list[str]
    shared: dict[str, tuple[str, str]]
    examples: dict[str, Examples]
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
        return is_organism(self.record)

    @property
    def by_metric(self) -> bool:
        """Whether the table of cells is turned: more metrics than a page is wide, and fewer cells."""
        return len(self.columns) > WIDEST and len(self.record.cells) < len(self.columns)

    @property
    def families(self) -> dict[str, dict[str, str]]:
        """The columns by family and measure, e.g. `snip_top5` and `jaccard_mean`; of others the family is empty."""
        families: dict[str, dict[str, str]] = {}
        for metric in self.columns:
            match = MEASURE.fullmatch(metric)
            family, measure = match.groups() if match else ("", metric)
            families.setdefault(family, {})[measure] = metric
        return families

    @property
    def measures(self) -> list[str]:
        """What is measured of any family."""
        return list(dict.fromkeys(measure for metrics in self.families.values() for measure in metrics))

    @property
    def receipts(self) -> list[ReceiptRow]:
        """Of all cells, those that do not hold first."""
        return receipt_rows(self.record)

    @property
    def unchecked(self) -> dict[str, list[str]]:
        """What no receipt checks by other means, in words, with the cells that rest on it."""
        words = dict.fromkeys(each for cell in self.record.cells for each in cell.unchecked)
        return {each: [cell.id for cell in self.record.cells if each in cell.unchecked] for each in words}

    @property
    def judges(self) -> dict[str, JudgeFound]:
        """The judges that read texts, each as it was found in the first cell with it."""
        found: dict[str, JudgeFound] = {}
        for cell in self.record.cells:
            found = {**cell.judges, **found}
        return found

    @property
    def broken(self) -> int:
        """Number of receipts and canaries that do not hold."""
        own = [receipt for cell in self.record.cells for receipt in cell.receipts]
        return sum(not receipt.holds for receipt in (*own, *self.record.canaries))

    @property
    def claimed(self) -> int:
        """Number of receipts and canaries."""
        return sum(len(cell.receipts) for cell in self.record.cells) + len(self.record.canaries)

    def unexpected(self, cell: CellResult) -> list[Check]:
        """The checks of a cell that did not pass, without those of figures that are compared with nothing."""
        silent = ("skipped_invalid", "not_compared")
        return [check for check in self.failed if check.cell == cell.id and check.status not in silent]

    def measured(self, cell: CellResult) -> dict[str, Measurement]:
        """The measurements of a cell by metric."""
        return {measured.metric: measured for measured in cell.measurements}


def page_of(
    path: Path,
    record: RunRecord,
    others: Mapping[str, str],
    golden_paths: Iterable[Path],
    shown_path: Path,
    show_completions: bool,
) -> Page:
    """The page of the record at `path`.

    others: the anchors of the report's pages by their records' ids. shown_path: where the record lies, as seen
    from the folder that holds the folder of runs. show_completions: whether texts of real models were asked for.
    """
    drawing, problem = drawing_of(record, golden_paths)
    shared = _shared(record, others)
    return Page(
        record,
        others[record.id],
        drawing,
        problem,
        columns_of(record.cells),
        shared,
        {cell.id: examples_of(path, record, cell, show_completions) for cell in record.cells if cell.id not in shared},
        f"harness run {shlex.quote(str(shown_path))} --model {shlex.quote(_model_as_given(record))}",
        f"harness explain {shlex.quote(str(shown_path))}",
    )


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
    return {
        cell_id: (others[run], cell) for cell_id, (run, _, cell) in places.items() if run in others and run != record.id
    }
