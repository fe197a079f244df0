"""The limits of validity, made anew from the intact model's own texts, which set them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.spec.manifest import OWN_TEXTS
from harness.spec.measurement import Completion
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.texts import LIMITS, check_evidence

#: The margins around what the intact model writes, as docs/concepts/validity.md has them.
_MARGINS = {
    "quantile": 0.99,
    "worst_window_nll_margin": 1.0,
    "mean_nll_factor": 1.5,
    "repetition_margin": 0.15,
    "length_share": 0.5,
    "largest_worst_window_nll": 8.0,
    "largest_mean_nll": 6.0,
    "largest_repetition": 0.5,
    "fewest_characters": 2.0,
    "free_mean_nll": 1.0,
    "free_characters": 50.0,
}
#: The smallest and the largest that each limit may be.
_BOUNDS = {
    "worst_window_nll": (0.0, _MARGINS["largest_worst_window_nll"]),
    "mean_nll": (_MARGINS["free_mean_nll"], _MARGINS["largest_mean_nll"]),
    "repetition": (0.0, _MARGINS["largest_repetition"]),
    "length": (_MARGINS["fewest_characters"], _MARGINS["free_characters"]),
}


def check_limits(run: Recorded, ledger: Ledger) -> None:
    """Compare the limits with those that follow from the texts beside the record."""
    recorded = run.record.validity_thresholds
    showing = [entry for entry in run.spec.evaluations if entry.generates_texts and entry.calibrates_validity]
    if not showing:
        ledger.same("limits", "the run", "thresholds", dict(recorded), {})
        return
    ledger.same("limits", "the run", "margins", recorded.get("margins"), _MARGINS)
    if run.own_texts is None:
        ledger.wrong("limits", "the run", OWN_TEXTS, "missing", "the texts that the limits follow from")
        return
    wanted = [(entry.name, prompt) for entry in showing for prompt in range(_prompts(run, entry))]
    halves = run.own_texts[: len(wanted)], run.own_texts[len(wanted) :]
    named = {"greedy", "sampled", "margins"}
    for way, texts in zip(("greedy", "sampled"), halves, strict=True):
        for text in (each for each in texts if _degenerate_on_any_model(each)):
            name = f"set aside: {way} text {text.prompt_index} of {text.evaluation}"
            named.add(name)
            ledger.same("limits", way, name, recorded.get(name), dict(text.evidence))
        ledger.each_once("own text", way, ((text.evaluation, text.prompt_index) for text in texts), wanted)
        known, found = recorded.get(way, {}), _limits(texts)
        for name in sorted({*known, *found}):  # texts without a likelihood set no limit, and none may be recorded
            ledger.same("limits", way, name, known.get(name), found.get(name))
    ledger.same("limits", "the run", "names", sorted(recorded.keys() - named), [])
    _check_evidence(run, ledger)


def _prompts(run: Recorded, entry: Any) -> int:
    return min(int(entry.prompts), run.spec.validity.calibration_prompts)


def _limits(texts: Sequence[Completion]) -> dict[str, float]:
    """From texts with a likelihood: the value that 99% of them do not exceed, and the margin, within fixed bounds.

    The bounds themselves where at least half are degenerate on any model.
    """
    known = [text for text in texts if text.evidence.keys() >= LIMITS]
    seen = [text.evidence for text in known if not _degenerate_on_any_model(text)]
    if not known:
        return {}
    if 2 * len(seen) <= len(known):
        return {name: low if name == "length" else high for name, (low, high) in _BOUNDS.items()}
    found = {
        "worst_window_nll": _of_most([each["worst_window_nll"] for each in seen]) + _MARGINS["worst_window_nll_margin"],
        "mean_nll": _of_most([each["mean_nll"] for each in seen]) * _MARGINS["mean_nll_factor"],
        "repetition": _of_most([each["repetition"] for each in seen]) + _MARGINS["repetition_margin"],
        "length": min(each["length"] for each in seen) * _MARGINS["length_share"],
    }
    return {name: min(max(value, _BOUNDS[name][0]), _BOUNDS[name][1]) for name, value in found.items()}


def _degenerate_on_any_model(text: Completion) -> bool:
    """Beyond a bound of the side on which texts are degenerate: the upper one, for lengths the lower one."""
    seen = text.evidence
    if not seen.keys() >= LIMITS:
        return False
    worst = {name: _BOUNDS[name][1] for name in ("worst_window_nll", "mean_nll", "repetition")}
    return seen["length"] < _BOUNDS["length"][0] or any(seen[name] > bound for name, bound in worst.items())


def _of_most(values: Sequence[float]) -> float:
    """The smallest value that at least 99% of all do not exceed."""
    n = len(values)
    return next(value for rank, value in enumerate(sorted(values), 1) if 100 * rank >= 99 * n)


def _check_evidence(run: Recorded, ledger: Ledger) -> None:
    """How likely these texts are, how much of them is said again, how long they are."""
    for text in run.own_texts or ():
        check_evidence(OWN_TEXTS, f"{text.evaluation}: prompt {text.prompt_index}", text, ledger)
