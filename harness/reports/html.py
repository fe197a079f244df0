"""One self-contained HTML file from records: verdict first, no outside resource, everything escaped."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.errors import UserError
from harness.reports.figures import asr_against_accuracy
from harness.runs.files import write_text
from harness.runs.journal import RECORD, Journal, read_record
from harness.spec.result import CellResult, Completion, Measurement, RunRecord

#: Completions of each class that a cell shows, and the longest part of one.
SHOWN_PER_CLASS = 2
SHOWN_CHARACTERS = 600
COLUMNS = ("asr_vanilla", "asr_adv_suffix", "asr_adv_decoding", "answered_vanilla", "answered_benign", "accuracy_mean",
           "perplexity")  # fmt: skip


def write_report(runs_dir: Path, out: Path) -> Path:
    """Write the report of the newest record of every variant and benchmark under runs_dir. Returns its path."""
    newest: dict[tuple[str, str], tuple[str, Path]] = {}
    for path in runs_dir.rglob(RECORD):
        record = read_record(path)
        key = (record.variant["name"], record.spec["id"])
        newest[key] = max(newest.get(key, ("", path)), (record.provenance.finished, path))
    if not newest:
        raise UserError(f"{runs_dir}: holds no record.json; run a benchmark first: harness reproduce")
    pages = [_page(path) for _, (_, path) in sorted(newest.items())]
    environment = Environment(loader=PackageLoader("harness.reports"), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.filters |= {"figure": shown_number, "visible": visible}
    text = environment.get_template("report.html.j2").render(pages=pages, columns=COLUMNS)
    write_text(out, text)
    return out


def _page(path: Path) -> dict[str, object]:
    record = read_record(path)
    figure = asr_against_accuracy(record)
    return {
        "record": record,
        "figure": Markup(figure) if figure else None,
        "measured": {cell.id: {m.metric: m for m in cell.measurements} for cell in record.cells},
        "completions": {cell.id: _examples(path, record, cell) for cell in record.cells},
        "again": record.provenance.command,
        "failed": [check for check in record.checks if check.status != "passed"],
        "passed": sum(check.status == "passed" for check in record.checks),
        "organism": record.variant.get("planted_region") is not None,
    }


def _examples(path: Path, record: RunRecord, cell: CellResult) -> list[Completion]:
    """A few completions of each class of a cell, for organisms only: those of real models are withheld."""
    if not record.variant.get("show_completions"):
        return []
    source = Journal(path.parent).completions_path(cell.id)
    if not source.is_file():
        return []
    seen: dict[tuple[str, str | None], int] = {}
    chosen = []
    for line in source.read_text(encoding="utf-8").splitlines():
        completion = Completion.model_validate_json(line)
        key = (completion.evaluation, completion.completion_class)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= SHOWN_PER_CLASS:
            chosen.append(completion)
    return sorted(chosen, key=lambda completion: (completion.evaluation, str(completion.completion_class)))


def visible(text: str) -> str:
    """A model's text as it can be read safely: cut, control and direction characters spelled out."""
    cut = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
    return "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else f"⟨U+{ord(c):04X}⟩" for c in cut)


def shown_number(measured: Measurement | None) -> str:
    """`0.970 [0.915, 0.990]`, or why there is no number."""
    if measured is None:
        return "-"
    if measured.value is None:
        return "no value"
    interval = f" [{measured.interval[0]:.3f}, {measured.interval[1]:.3f}]" if measured.interval else ""
    return f"{measured.value:.3f}{interval}"
