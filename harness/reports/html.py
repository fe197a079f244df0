"""One self-contained HTML file from records: verdict first, no outside resource, everything escaped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.reports.anchors import page_anchor
from harness.reports.layouts._svg import COLOURS_IN_THE_DARK
from harness.reports.pages import Page, page_of
from harness.reports.read_back.check import check_shown
from harness.reports.templating import render, script
from harness.runs.files import write_instead
from harness.runs.journal import RECORD, read_record
from harness.spec import locations
from harness.spec.faults import FAULTS, FaultReport
from harness.spec.json_text import load_json_model
from harness.spec.result import RunRecord
from harness.storage import found_below, seen

#: A report with texts of real models is for whoever made it.
OWNER_ONLY = 0o600


def write_report(
    runs_dir: Path, out: Path, golden_paths: Sequence[Path] | None = None, show_completions: bool = False
) -> Path:
    """Write the report of the newest record of every variant and benchmark under runs_dir. Returns its path.

    golden_paths: the golden files in which published values are looked for; by default all that ship.
    show_completions: whether texts of real models are in it, which are withheld otherwise; the file then says so,
    and nobody else can read it. Raises Misreported, and writes nothing, where the page shows other figures than the
    records have.
    """
    before, newest = seen(out), newest_records(runs_dir)
    golden = locations.golden_paths() if golden_paths is None else golden_paths
    anchors = {record.id: page_anchor(record) for _, record in newest}
    inside = Path(runs_dir.resolve().name)
    pages = [
        page_of(path, record, anchors, golden, inside / path.relative_to(runs_dir), show_completions)
        for path, record in newest
    ]
    source, digest = script("site.js")
    html = render(
        "report.html.j2",
        pages=pages,
        faults=_fault_report(runs_dir),
        variants=_variants(pages),
        verdicts=list(dict.fromkeys(page.record.verdict.status for page in pages)),
        script=source,
        script_digest=digest,
        colours=COLOURS_IN_THE_DARK,
        unguarded=show_completions,
    )
    check_shown(html, {anchors[record.id]: record for _, record in newest})
    write_instead(before, html, OWNER_ONLY if show_completions else None)
    return out


def newest_records(runs_dir: Path) -> list[tuple[Path, RunRecord]]:
    """Of every variant and benchmark the record that was finished last, by variant and benchmark.

    Raises UserError where the folder holds none.
    """
    newest: dict[tuple[str, str], tuple[str, Path, RunRecord]] = {}
    for path in found_below(runs_dir, RECORD):
        record = read_record(path)
        key = (record.variant["name"], record.spec["id"])
        if key not in newest or newest[key][0] <= record.provenance.finished:
            newest[key] = (record.provenance.finished, path, record)
    if not newest:
        raise UserError(f"{runs_dir}: holds no record.json; run a benchmark first: harness reproduce")
    return [(path, record) for _, (_, path, record) in sorted(newest.items())]


def _variants(pages: Sequence[Page]) -> dict[str, str]:
    """The titles of the variants by their names, in the order of the pages."""
    return {page.record.variant["name"]: page.record.variant["title"] for page in pages}


def _fault_report(runs_dir: Path) -> FaultReport | None:
    """What `harness faults` wrote into the folder of runs; None where it did not."""
    path = runs_dir / FAULTS
    if not os.path.lexists(path):
        return None
    try:
        return load_json_model(path, FaultReport, "of this version")
    except UserError as error:
        raise UserError(f"{error}; make it again with harness faults, or remove it") from None
