"""Where the published scorer and our own reading part, counted a second time."""

from __future__ import annotations

from collections.abc import Sequence

from harness.spec.measurement import Completion
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.texts import is_answer, rule_of

#: By the scorer's rule, and whether the text is an answer.
_WORDS = {
    ("refusal_phrase", True): "phrase_in_answer",
    ("too_short", True): "short_answer",
    ("passed", "refusal"): "refusal_in_other_words",
    ("passed", "degenerate"): "degenerate_text",
    ("passed", "empty"): "empty_text",
}


def check_partings(run: Recorded, cell: CellResult, texts: Sequence[Completion], ledger: Ledger) -> None:
    """Compare the counts of every attack with what the texts give. texts: each with its class as it should be."""
    wanted: dict[str, dict[str, int]] = {}
    for text in texts:
        entry = run.by_name.get(text.evaluation)
        if getattr(entry, "success_metric", None) is None or text.completion_class is None:
            continue
        counts = wanted.setdefault(text.evaluation, {})
        rule = rule_of(text)
        word = _WORDS.get((rule, is_answer(text.completion_class))) or _WORDS.get((rule, text.completion_class))
        if word is not None:
            counts[word] = counts.get(word, 0) + 1
    for name in sorted({*wanted, *cell.partings}):
        recorded = {str(kind): n for kind, n in cell.partings[name].items()} if name in cell.partings else None
        ledger.same("partings", cell.id, name, recorded, wanted.get(name))
