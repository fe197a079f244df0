"""What counts as an answer, from what the intact model itself writes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import InvalidRun, UserError
from harness.evaluations.base import evaluation
from harness.receipts.evaluated import text_receipts
from harness.receipts.logits import finite_outputs
from harness.runs.bench import Bench
from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt
from harness.validity.classification import Thresholds, calibrate, set_aside
from harness.validity.evidence import with_evidence


def validity_thresholds(bench: Bench) -> Thresholds | None:
    """From the intact model's own texts, greedy and at temperature 1, to the prompts that are evaluated.

    None where a benchmark generates no text. The model must be intact.
    Raises InvalidRun where its texts are none and a receipt says why.
    """
    greedy, sampled = (_own_texts(bench, temperature) for temperature in (0.0, 1.0))
    if not greedy:
        return None
    judged = [with_evidence(texts, bench.engine, bench.context.formatter) for texts in (greedy, sampled)]
    try:
        texts = tuple(text.model_copy(update={"choices": ()}) for text in (*judged[0], *judged[1]))
        aside = set_aside("greedy", judged[0]) | set_aside("sampled", judged[1])
        return Thresholds(calibrate(judged[0]), calibrate(judged[1]), texts, aside)
    except UserError:
        for receipt in [_finite_texts(bench, greedy), *text_receipts(bench.reference, bench.context.formatter, greedy)]:
            if not receipt.holds:
                raise InvalidRun(f"{receipt.stage}/{receipt.name}", receipt.words) from None
        raise


def _finite_texts(bench: Bench, texts: Sequence[Completion]) -> StageReceipt:
    overflowing = sum("non_finite_logits" in completion.evidence for completion in texts)
    return finite_outputs(overflowing, 0, len(texts), bench.loaded.model.dtype)


def _own_texts(bench: Bench, temperature: float) -> list[Completion]:
    settings = bench.bound.spec.validity
    texts: list[Completion] = []
    for declared in bench.bound.spec.evaluations:
        if not declared.calibrates_validity:
            continue
        drawn = declared.model_copy(
            update={
                "prompts": min(declared.prompts, settings.calibration_prompts),
                "samples": 1,
                "temperature": temperature,
                "seed": settings.seed,
            }
        )
        texts += evaluation(drawn).measure(bench.context).completions
    return texts
