"""Receipt of probing accuracies: those of a few heads, by probes that are fitted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.probing.again import Probed
from harness.probing.heads import Head
from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt, StageReceipt


def accuracies(
    metric_of: Callable[[Head], str], measurements: Sequence[Measurement], again: Sequence[Probed], heads: int
) -> StageReceipt:
    """Whether accuracies of heads are those of probes that are fitted again. heads: how many the model has."""
    told = {measured.metric: measured for measured in measurements}
    problems = []
    for each in again:
        measured = told.get(metric_of(each.head))
        value, n = (None, 0) if measured is None else (measured.value, measured.n)
        if each.departs(value) or n != each.prompts:
            fitted = f"{each.sure} to {each.sure + each.unsure} of {each.prompts} prompts"
            problems.append(f"{metric_of(each.head)} {value} of {n} where probes that fit again tell {fitted}")
    return StageReceipt(
        stage="scorer",
        name="probes",
        holds=not problems,
        expected=f"accuracies of {len(again)} heads, as probes that are fitted again have them",
        seen="; ".join(problems) or "them",
        advice="look at the probes' prompts, labels and split, and at which head an accuracy is filed under",
        evidence={"fitted_again": len(again), "otherwise": len(problems)},
        looked_at=(LookedAt(what="heads, probed again", seen=len(again), of=heads),),
    )
