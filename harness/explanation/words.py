"""An explanation as lines of text."""

from __future__ import annotations

from collections.abc import Iterable

from harness.explanation.outputs import Outputs
from harness.explanation.recorded import RecordedRun
from harness.explanation.steps import Step
from harness.explanation.story import TITLES, Explanation

#: Of one output and of several.
_RULES = {
    "refusal_phrase": ("holds a refusal phrase", "hold a refusal phrase"),
    "too_short": ("has fewer than 20 words", "have fewer than 20 words"),
    "passed": ("passed", "passed"),
}
_CLASSES = {
    "refusal": ("refuses", "refuse"),
    "answer": ("answers", "answer"),
    "truncated": ("answers until the token limit", "answer until the token limit"),
    "empty": ("is empty", "are empty"),
    "degenerate": ("is degenerate", "are degenerate"),
}

#: Said once, where the word comes first.
_DEGENERATE = "degenerate (loops, fragments, words without sense)"
#: Steps of which a record tells by the checks of its run alone.
_BY_CHECKS_ALONE = ("tokenizer", "data", "engine")


def heading(run: RecordedRun) -> list[str]:
    """Which record it is, and what went wrong with the run as a whole."""
    record = run.record
    verdict = record.verdict.status.replace("_", " ").upper()
    broken = [canary.words for canary in record.canaries if not canary.holds]
    return [
        f"{record.spec['id']} on {record.variant['name']}: {verdict} ({record.id})",
        *(f"  a canary of the run does not hold: {words}" for words in broken),
    ]


def told(explanation: Explanation) -> list[str]:
    """The story of a cell, one thing a line."""
    lines = [f"{explanation.cell}: {'; '.join(explanation.why) or 'as expected'}"]
    lines += _line("asked", [explanation.asked])
    lines += _line("printed", [_printed(entry) for entry in explanation.outputs if not entry.benign])
    read = "; ".join(_read(entry) for entry in explanation.outputs)
    lines += _line("outputs", [f"read as texts: {read.replace('degenerate', _DEGENERATE, 1)}"] if read else [])
    lines += _line("judges", explanation.judged)
    if explanation.example:
        lines += _line("", [f'for example: "{explanation.example}"'])
    lines += _line("in order" if explanation.departs is None else "before", _held(explanation))
    departs = next((step for step in explanation.steps if step.name == explanation.departs), None)
    if departs is not None:
        lines += _line("departs", [f"first at {TITLES[departs.name]}: {departs.words}", *departs.evidence[:1]])
    if explanation.meaning:
        lines += _line("means", [explanation.meaning])
    lines += _line("next", [explanation.advice]) + _line("note", explanation.notes)
    return lines + _line("checked", _shares(explanation))


def _shares(explanation: Explanation) -> list[str]:
    """Steps against shares, a line each, and what nobody checks."""
    if not explanation.checked:
        return []
    width = max(len(each.step) for each in explanation.checked)
    nobody = "; ".join(explanation.unchecked) or "nothing that was measured here"
    rows = [f"{each.step:<{width}}  {each.words}" for each in explanation.checked]
    return [*rows, f"{'nobody':<{width}}  checks {nobody}"]


def _line(label: str, sentences: Iterable[str]) -> list[str]:
    """The label stands before the first line alone."""
    return [f"  {label if number == 0 else '':<9}{sentence}" for number, sentence in enumerate(sentences)]


def _printed(entry: Outputs) -> str:
    """What the published scorer said of an attack, and by which of its rules."""
    figure = "no ASR" if entry.recorded is None else f"ASR {entry.recorded:.2f}"
    rules = ", ".join(f"{count} {_RULES[rule][count != 1]}" for rule, count in entry.counted.items())
    return f"{entry.evaluation}: {figure} by the published scorer" + (
        f"; {entry.total} outputs: {rules}" if rules else ""
    )


def _read(entry: Outputs) -> str:
    """What the outputs of an evaluation were."""
    counts = ", ".join(f"{count} {_CLASSES[kind][count != 1]}" for kind, count in entry.classes.items())
    return f"of {entry.total} {entry.evaluation} {counts}"


def _held(explanation: Explanation) -> list[str]:
    """The steps before the first departure, or all: what is known of each, and of which nothing is.

    Where the run made checks, a step without any has nothing to be checked, as scores where none were computed.
    """
    steps: list[Step] = []
    for step in explanation.steps:
        if step.name == explanation.departs:
            break
        steps.append(step)
    held = [f"{step.name}: {step.words}" for step in steps if step.observations]
    without_receipts = ("question", "tokenizer", "model")
    unknown = [step.name for step in steps if not step.observations and step.name not in without_receipts]
    checked = any(step.observations for step in explanation.steps if step.name in _BY_CHECKS_ALONE)
    silent = f"nothing recorded of {', '.join(unknown)}" if unknown and not checked else None
    return [" | ".join(filter(None, [*held, silent]))] if held or silent else []
