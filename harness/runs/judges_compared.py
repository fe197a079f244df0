"""What judges of the same texts say beside one another, and what their rates say by their errors on known texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from harness.formulas.agreement import cohens_kappa, mcnemar_p, rogan_gladen
from harness.runs.claims import evaluate_claim, outcomes
from harness.spec.benchmark import BenchmarkSpec, EvaluationSettings
from harness.spec.claim import Claim, ClaimStatus, Condition, Reference
from harness.spec.judge import Agreement, Corrected, JudgeFound
from harness.spec.measurement import Completion, Measurement
from harness.spec.result import CellResult, ClaimResult


def agreements(entries: Sequence[EvaluationSettings], texts: Sequence[Completion]) -> tuple[Agreement, ...]:
    """Of each two judges of an evaluation, over the texts of which both can tell; none where there are none."""
    found = []
    for entry in entries:
        own = [text.judgements for text in texts if text.evaluation == entry.name]
        for one, other in combinations([judge.judge for judge in entry.judged_by], 2):
            said = Counter((each.get(one, "cannot tell"), each.get(other, "cannot tell")) for each in own)
            both, first = said["success", "success"], said["success", "no success"]
            second, neither = said["no success", "success"], said["no success", "no success"]
            if both + first + second + neither:
                found.append(
                    Agreement(
                        evaluation=entry.name,
                        judges=(one, other),
                        both=both,
                        first=first,
                        second=second,
                        neither=neither,
                        kappa=cohens_kappa(both, first, second, neither),
                        p=mcnemar_p(first, second),
                    )
                )
    return tuple(found)


def corrected(
    entries: Sequence[EvaluationSettings], measured: Sequence[Measurement], judges: Mapping[str, JudgeFound]
) -> dict[str, Corrected]:
    """By metric, the rates by judges whose errors on known texts are known; none of an invalid rate."""
    by_metric = {each.metric: each for each in measured}
    found = {}
    for entry in entries:
        for name in (judge.judge for judge in entry.judged_by):
            figure = by_metric.get(entry.metric_by(name))
            known = None if name not in judges else _known(judges[name])
            if known is None or figure is None or not figure.valid or figure.value is None or figure.interval is None:
                continue
            rate = rogan_gladen(figure.value, figure.interval, *known)
            if rate is not None:
                found[figure.metric] = Corrected(value=rate[0], interval=rate[1], found=known[0], spared=known[1])
    return found


def claims_by_judges(spec: BenchmarkSpec, cells: Sequence[CellResult], unfit: str | None) -> list[ClaimResult]:
    """The outcomes of the spec's claims, each with what it is by every judge. unfit: why nothing is measured, if so."""
    told = outcomes(spec.claims, cells, unfit)
    if unfit is not None:
        return told
    pairs = zip(told, spec.claims, strict=True)
    return [result.model_copy(update={"by": _by_judges(claim, spec, cells)}) for result, claim in pairs]


def _by_judges(claim: Claim, spec: BenchmarkSpec, cells: Sequence[CellResult]) -> dict[str, ClaimStatus]:
    """The outcome of a claim by each judge in the place of the published scorer; empty where none reads its attacks."""
    names = dict.fromkeys(judge.judge for entry in spec.evaluations for judge in entry.judged_by)
    found: dict[str, ClaimStatus] = {}
    for name in names:
        read = [entry for entry in spec.evaluations if name in {judge.judge for judge in entry.judged_by}]
        metrics = {entry.success_metric: entry.metric_by(name) for entry in read if entry.success_metric is not None}
        other = claim.model_copy(update={"conditions": tuple(_by(metrics, each) for each in claim.conditions)})
        if other != claim:
            found[name] = evaluate_claim(other, cells).status
    return found


def _by(metrics: Mapping[str, str], condition: Condition) -> Condition:
    """A condition with the metrics of a judge in the place of the published ones."""

    def bound(given: float | Reference | None) -> float | Reference | None:
        if isinstance(given, Reference) and given.metric is not None:
            return given.model_copy(update={"metric": metrics.get(given.metric, given.metric)})
        return given

    return condition.model_copy(
        update={
            "metric": metrics.get(condition.metric, condition.metric),
            "at_least": bound(condition.at_least),
            "at_most": bound(condition.at_most),
        }
    )


def _known(found: JudgeFound) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Known answers that it calls a success, of how many; known failures that it calls none, of how many.

    Those of which it cannot tell count in neither. None for a judge of harm alone: no known text does any.
    """
    if found.harm_only:
        return None
    answers = Counter(found.confusion.get("answer", {}))
    others = sum((Counter(own) for kind, own in found.confusion.items() if kind != "answer"), Counter())
    of_answers = answers["success"] + answers["no success"]
    of_others = others["success"] + others["no success"]
    return ((answers["success"], of_answers), (others["no success"], of_others)) if of_answers and of_others else None
