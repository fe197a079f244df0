"""What the outputs of a cell were: the scorer's rule that decided on each, its class, and the evidence for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.formulas.metrics import ANSWERS, FIT, SCORER_RULES, scorer_rule
from harness.spec.measurement import Completion
from harness.spec.result import CellResult


@dataclass(frozen=True)
class Outputs:
    """The completions of one evaluation; with suffixes, those of the suffix that the published figure rests on.

    decoding: `greedy` or `sampled`, which have limits of their own.

    counted: by the published scorer's rules; empty where the completions are not at hand. classes: ours.
    limits: how many completions lie beyond each limit of validity, the largest number first.
    recorded: the ASR of the record, None of requests that are no attack.
    """

    evaluation: str
    benign: bool
    decoding: str
    total: int
    counted: dict[str, int]
    classes: dict[str, int]
    limits: dict[str, int]
    recorded: float | None
    valid: bool

    @property
    def fit(self) -> int:
        """Completions that are a refusal or an answer."""
        return sum(self.classes.get(kind, 0) for kind in FIT)

    @property
    def answers(self) -> int:
        """Completions that are an answer, whole or cut off by the token limit."""
        return sum(self.classes.get(kind, 0) for kind in ANSWERS)

    @property
    def without_word_rule(self) -> float:
        """What the published scorer would give without its 20-word rule."""
        return 1 - self.counted["refusal_phrase"] / self.total


def outputs_of(
    cell: CellResult,
    completions: Sequence[Completion],
    evaluations: Sequence[Mapping[str, Any]],
    thresholds: Mapping[str, Mapping[str, float]],
) -> list[Outputs]:
    """One entry for each evaluation that generated texts, in the order of the spec. evaluations: the spec's."""
    grouped: dict[str, list[Completion]] = defaultdict(list)
    for completion in completions:
        grouped[completion.evaluation].append(completion)
    found = []
    for settings in evaluations:
        name = settings.get("name", settings["kind"])
        if name in cell.completion_classes:
            found.append(_outputs(cell, name, settings, _strongest(grouped[name]), thresholds))
    return found


def _outputs(
    cell: CellResult,
    name: str,
    settings: Mapping[str, Any],
    texts: Sequence[Completion],
    thresholds: Mapping[str, Mapping[str, float]],
) -> Outputs:
    decoding = "sampled" if settings.get("temperature") else "greedy"
    asr = cell.measurement(f"asr_{name}")
    rules = Counter(scorer_rule(completion.text) for completion in texts)
    classes = Counter(completion.completion_class for completion in texts) or cell.completion_classes[name]
    beyond = Counter(limit for completion in texts for limit in beyond_limits(completion, thresholds.get(decoding, {})))
    return Outputs(
        evaluation=name,
        benign=bool(settings.get("benign")),
        decoding=decoding,
        total=len(texts) or sum(classes.values()),
        counted={rule: rules[rule] for rule in SCORER_RULES} if texts else {},
        classes={str(kind): count for kind, count in sorted(classes.items(), key=lambda item: -item[1])},
        limits=dict(beyond.most_common()),
        recorded=asr.value if asr else None,
        valid=asr is None or asr.valid,
    )


def _strongest(completions: Sequence[Completion]) -> list[Completion]:
    """Those of the suffix with the most successes, as lib/eval.py:343 has it; all where there are no suffixes."""
    attacks: dict[int | None, list[Completion]] = defaultdict(list)
    for completion in completions:
        attacks[completion.suffix_index].append(completion)
    return max(attacks.values(), key=lambda texts: sum(scorer_rule(c.text) == "passed" for c in texts), default=[])


def beyond_limits(completion: Completion, limits: Mapping[str, float]) -> list[str]:
    """The limits of validity that a completion is beyond, as `classify` sees them."""
    evidence = completion.evidence
    if not completion.text.strip() or evidence.get("length") == 0:
        return ["empty"]
    beyond: list[str] = [name for name in ("non_finite_logits", "no_likelihood") if name in evidence]
    beyond += [
        name
        for name in ("worst_window_nll", "mean_nll", "repetition")
        if name in evidence and name in limits and evidence[name] > limits[name]
    ]
    if "length" in evidence and evidence["length"] < limits.get("length", 0):
        beyond.append("length")
    return beyond


def limit_words(limits: Mapping[str, float]) -> dict[str, str]:
    """What it means to be beyond each limit."""
    shown = {name: f"{value:.2g}" for name, value in limits.items()}
    return {
        "empty": "hold nothing",
        "non_finite_logits": "come from numbers that overflowed",
        "no_likelihood": "have no finite likelihood",
        "worst_window_nll": "hold a passage that the intact model finds very unlikely "
        f"(over {shown.get('worst_window_nll')} nats a token)",
        "mean_nll": f"are unlikely to the intact model as a whole (over {shown.get('mean_nll')} nats a token)",
        "repetition": f"go round in circles (more than {shown.get('repetition')} of the text repeats)",
        "length": "are shorter than half of the intact model's shortest",
    }
