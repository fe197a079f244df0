"""One self-contained HTML file from records: verdict first, no outside resource, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from harness.errors import UserError
from harness.reports.pages import page_of
from harness.reports.templating import render
from harness.runs.files import write_text
from harness.runs.journal import RECORD, read_record
from harness.spec import locations
from harness.spec.faults import FAULTS, FaultReport
from harness.spec.result import RunRecord


def write_report(runs_dir: Path, out: Path, golden_paths: Sequence[Path] | None = None) -> Path:
    """Write the report of the newest record of every variant and benchmark under runs_dir. Returns its path.

    golden_paths: the golden files in which published values are looked for; by default all that ship.
    """
    newest = _newest_records(runs_dir)
    if not newest:
        raise UserError(f"{runs_dir}: holds no record.json; run a benchmark first: harness reproduce")
    golden = locations.golden_paths() if golden_paths is None else golden_paths
    anchors = {record.id: f"{record.spec['id']}--{record.variant['name']}" for _, record in newest}
    inside = Path(runs_dir.resolve().name)
    pages = [page_of(path, record, anchors, golden, inside / path.relative_to(runs_dir)) for path, record in newest]
    write_text(out, render("report.html.j2", pages=pages, faults=_fault_report(runs_dir)))
    return out


def _fault_report(runs_dir: Path) -> FaultReport | None:
    """What `harness faults` wrote into the folder of runs; None where it did not."""
    path = runs_dir / FAULTS
    try:
        return FaultReport.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (ValidationError, UnicodeDecodeError):
        raise UserError(f"{path}: not of this version; make it again with harness faults, or remove it") from None


def _newest_records(runs_dir: Path) -> list[tuple[Path, RunRecord]]:
    """Of every variant and benchmark the record that was finished last, by variant and benchmark."""
    newest: dict[tuple[str, str], tuple[str, Path, RunRecord]] = {}
    for path in sorted(runs_dir.rglob(RECORD)):
        record = read_record(path)
        key = (record.variant["name"], record.spec["id"])
        if key not in newest or newest[key][0] <= record.provenance.finished:
            newest[key] = (record.provenance.finished, path, record)
    return [(path, record) for _, (_, path, record) in sorted(newest.items())]
