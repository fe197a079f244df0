"""Texts of a model that the report shows: a few of each class, read from whatever the file holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.reading import parsed_json
from harness.runs.journal import Journal
from harness.shown import passed_on
from harness.spec.measurement import Completion
from harness.spec.result import CellResult, RunRecord

#: Completions of each class that a cell shows.
SHOWN_PER_CLASS = 2


@dataclass(frozen=True)
class Examples:
    """completions: by evaluation and class. unreadable: lines of the file that are none. why_none: of none shown."""

    completions: tuple[Completion, ...] = ()
    unreadable: int = 0
    why_none: str | None = None


def are_shown(record: RunRecord, asked_for: bool) -> bool:
    """Whether a report holds texts of the record's model: of organisms, whose words are harmless; of others if asked.

    A variant's own `show_completions` is not enough where no region was planted: it is the model that is asked for
    harm, and the report may travel.
    """
    return asked_for or bool(is_organism(record) and record.variant.get("show_completions"))


def is_organism(record: RunRecord) -> bool:
    """Whether the variant is a model whose planted region is known."""
    return record.variant.get("planted_region") is not None


def examples_of(path: Path, record: RunRecord, cell: CellResult, asked_for: bool) -> Examples:
    """A few completions of a cell of the record at `path`, or why there are none."""
    if not are_shown(record, asked_for):
        return Examples(
            why_none="Withheld: texts of real models are shown by harness report --show-completions "
            "alone, on the machine that made them."
        )
    if record.texts_taken_out_of is not None:
        return Examples(why_none="The texts were taken out of this copy of the run.")
    journal = Journal(path.parent)
    if not journal.completions_path(cell.id).is_file():
        return Examples(why_none="The file of completions is not beside the record.")
    try:
        text = journal.completions_text(cell.id)
    except UserError:
        return Examples(why_none="The file of completions beside the record is damaged.")
    seen: Counter[tuple[str, str | None]] = Counter()
    chosen, unreadable = [], 0
    # Not splitlines: a text may hold U+2028 and its like, which JSON leaves as they are.
    for line in text.split("\n"):
        if not line:
            continue
        completion = _completion(line)
        if completion is None:
            unreadable += 1
            continue
        key = (completion.evaluation, completion.completion_class)
        seen[key] += 1
        if seen[key] <= SHOWN_PER_CLASS:
            chosen.append(completion)
    chosen.sort(key=lambda completion: (completion.evaluation, str(completion.completion_class)))
    return Examples(tuple(chosen), unreadable)


def _completion(line: str) -> Completion | None:
    """A line of the file; lone surrogates, which JSON can write and no text can hold, are spelled out."""
    try:
        content = parsed_json(line, halves=True)
        return Completion.model_validate(
            {key: passed_on(value) if isinstance(value, str) else value for key, value in content.items()}
        )
    except (ValueError, AttributeError, RecursionError):
        return None
