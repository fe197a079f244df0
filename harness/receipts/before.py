"""The first stage of a cell: the model is still intact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.models.editing import FoundRegion
from harness.models.fingerprint import model_fingerprint
from harness.models.prompts import PromptStyle
from harness.receipts import logits, state, weights
from harness.receipts.plain_text import plain_lines
from harness.receipts.state import ModelState
from harness.receipts.subject import Subject
from harness.receipts.training import PlainTraining
from harness.receipts.weights import ExpectedWeights
from harness.spec.receipt import StageReceipt


@dataclass(frozen=True)
class Before:
    """What was seen of the intact model, for the stages after it to be set beside.

    found: the region that the cell removes. intact: fingerprint of all parameters. expected: the weights that the edit
    should make. state: of the model besides. training: what it is to be fine-tuned on, if it is. sent: prompts that
    the engine has seen under the intact weights. window, likelihood: of a text, what the intact model makes of it and
    by how much rounding may move that; None where no text is scored.
    """

    subject: Subject
    found: FoundRegion | None
    intact: str
    expected: ExpectedWeights
    state: ModelState
    training: PlainTraining | None
    sent: tuple[tuple[int, ...], ...]
    window: tuple[int, ...]
    likelihood: tuple[float, float] | None
    receipts: tuple[StageReceipt, ...]

    @classmethod
    def seen(
        cls,
        subject: Subject,
        model_sha256: str,
        found: FoundRegion | None,
        origins: Mapping[str, tuple[str, str | None]],
    ) -> Before:
        """model_sha256: of the model that the run is about. origins: of what its regions were found from."""
        intact = model_fingerprint(subject.model)
        expected, now = weights.expected_weights(subject.model, found), ModelState.of(subject.model)
        declared = subject.cell.fine_tuning
        sent = _first_requests(subject) if subject.cell.changes_weights else ()
        if sent:
            subject.engine.first_tokens(sent, logits.COMPARED_TOKENS)
        window = next((ids for entry in subject.evaluations if (ids := entry.first_window(subject.context))), ())
        return cls(
            subject=subject,
            found=found,
            intact=intact,
            expected=expected,
            state=now,
            training=None if declared is None else subject.reference.training(declared),
            sent=sent,
            window=window,
            likelihood=logits.plain_negative_log_likelihood(subject.model, window) if window else None,
            receipts=(
                *subject.reference.as_named(intact),
                weights.intact_before(model_sha256, intact),
                state.at_rest(now),
                *([weights.own_measurements(origins)] if origins else ()),
            ),
        )


def _first_requests(subject: Subject) -> tuple[tuple[int, ...], ...]:
    """The first request of each evaluation, in the longest frame: caches keep whole blocks of 16 tokens or more."""
    formatter, asking = subject.formatter, [entry.settings for entry in subject.evaluations]
    requests = {
        plain_lines(subject.reference.path_of(settings.dataset))[0] for settings in asking if settings.generates_texts
    }
    return tuple(tuple(formatter.ids(formatter.text(request, PromptStyle(True, True)))) for request in sorted(requests))
