"""Receipts of the engine: the weights that it holds while it is used, and that it computed with no older ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.receipts.logits import Deviation
from harness.spec.receipt import StageReceipt


def held_weights(edited: str, at_first: str, at_last: str, states: Mapping[str, str]) -> StageReceipt:
    """Whether the engine holds the model as edited, before the first evaluation and after the last.

    All: fingerprints of all parameters. states: what other fingerprints of this process are, in words.
    """
    foreign = next((seen for seen in (at_first, at_last) if seen != edited), None)
    when = "before the first evaluation" if at_first != edited else "after the last evaluation"
    seen = "them" if foreign is None else f"{when} it held {states.get(foreign, 'weights that no cell has had')}"
    return StageReceipt(
        stage="engine",
        name="weights",
        holds=foreign is None,
        expected="the engine to hold this cell's weights during every evaluation",
        seen=seen,
        advice="the figures are about another model: bring the weights into the engine after each edit, before "
        "anything is generated",
        evidence={"edited": edited[:12], "at_first": at_first[:12], "at_last": at_last[:12]},
    )


def no_stale_cache(deviations: Sequence[Deviation]) -> StageReceipt:
    """Whether prompts that the engine saw under other weights are answered by the present ones.

    deviations: of the engine's first tokens from a plain forward pass, for prompts that were sent just before under
    other weights.
    """
    stale = [deviation for deviation in deviations if not deviation.within_rounding]
    worst = max((deviation.largest for deviation in deviations), default=0.0)
    return StageReceipt(
        stage="engine",
        name="prefix-cache",
        holds=not stale,
        expected="a prompt that was sent before under other weights to be read anew",
        seen=f"{len(stale)} of {len(deviations)} such prompts continued as the present weights do not "
        f"(log-probabilities off by up to {worst:.3g} nats)"
        if stale
        else "that",
        advice="empty the engine's cache of keys and values (its prefix cache) whenever weights change",
        evidence={"prompts": len(deviations), "largest_deviation_nats": finite_or_words(worst)},
    )


def finite_or_words(value: float) -> float | str:
    """A number that JSON can hold."""
    return value if abs(value) < float("inf") else "not finite"
