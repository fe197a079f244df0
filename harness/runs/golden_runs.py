"""Golden files against the runs that they come from, where those ship: below `runs/` of the same catalogue."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.reading import read_text
from harness.runs.journal import RECORD
from harness.spec.common import file_name
from harness.spec.golden import GoldenFile
from harness.spec.manifest import shown
from harness.verification.accepted import not_as_recorded
from harness.verification.reader import verify

RUNS = "runs"


def not_borne_out(path: Path, loaded: object) -> list[str]:
    """What is wrong with a golden file by the files of its runs: values, tolerances, claims, or the runs themselves.

    path: golden/<variant>/<benchmark>.yaml in a catalogue. Of runs that are not there nothing is said.
    """
    above = path.absolute().parents
    if not isinstance(loaded, GoldenFile) or len(above) < 3:
        return []
    problems = []
    for name in _records(loaded):
        record = above[2] / RUNS / name / RECORD
        if record.is_file():
            problems += [f"{path}: by the run {name}: {words}" for words in _problems(path, record)]
    return problems


def _records(golden: GoldenFile) -> list[str]:
    """Runs that a file names, if they are names of folders."""
    sources = [source for source in (golden.source, *(value.source for value in golden.values)) if source is not None]
    named = [(source.record, (source.tolerances or "").split(",")[0]) for source in sources]
    return [name for name in dict.fromkeys(each for pair in named for each in pair if each) if _is_place(name)]


def _is_place(name: str) -> bool:
    try:
        return len([file_name(part) for part in name.split("/")]) == 3
    except ValueError:
        return False


def _problems(path: Path, record: Path) -> list[str]:
    try:
        read = verify(record)
        found = [difference.words for difference in read.differs] or not_as_recorded(read_text(path), record)
    except UserError as error:
        return [str(error).replace(f"{record.parent}/", "")]
    return [shown(found)] if found else []
