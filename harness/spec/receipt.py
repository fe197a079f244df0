"""Receipts: what an edit, a fine-tuning and every other step did, as it was seen."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.spec.common import Evidence, Found, Name, Strict


class TruthComparison(Strict):
    """A region against the planted one: of what was selected, how much is planted, and the reverse."""

    selected: int
    planted: int
    both: int
    precision: float | None
    recall: float | None


class EditReceipt(Strict):
    """What was changed, measured on the weights themselves.

    Of masks: sparsity, the share of the linear weights that the region holds, overall and by layer
    type, and the comparison with a planted region. Of ranks: rank(ΔW) of every edited layer,
    measured on W before and after, R of each, and rank_share, the largest rank(ΔW) / R over the layers. What
    has no meaning for an edit is None or empty.
    Fingerprints (harness/models/fingerprint.py) are of all linear weights: before the edit, under it, and after it is
    undone.
    """

    weights_total: int
    weights_selected: int | None = None
    sparsity: float | None = None
    sparsity_by_layer_type: dict[str, float] = Field(default_factory=dict)
    mask_sha256: str | None = None
    rank_share: float | None = None
    rank_by_layer: dict[str, int] = Field(default_factory=dict)
    directions_by_layer: dict[str, int] = Field(default_factory=dict)
    fingerprint_before: str
    fingerprint_edited: str
    fingerprint_restored: str
    truth: TruthComparison | None = None
    truth_by_layer: dict[str, TruthComparison] = Field(default_factory=dict)


class CheckpointReceipt(Strict):
    """A checkpoint that a fine-tuning saved after `step` steps, with the SHA-256 of each of its files."""

    step: int
    files_sha256: dict[str, str]


class FineTuningReceipt(Found):
    """What a fine-tuning did, measured on the weights themselves.

    settings: as they ran, the variant's overrides applied. Losses are nats per response token of the
    first and the last step, each before its update; None where no step was taken.
    frozen_share_of_linear, frozen_share_of_all: frozen weights as a share of the linear layers' weights
        and of all parameters. The percentages of the paper's table 3 (9.61, 19.22, ..., 67.27) are 10,
        20, 30, 50 and 70% of the linear layers' weights as a share of all parameters: Llama-2-7B has
        6,476,005,376 linear weights of 6,738,415,616, a share of 0.9611.
    frozen_checked, frozen_changed: frozen entries compared bit by bit with those before, and how many
        differ; the second is 0, or the cell is invalid.
    moved_share: of the weights that could move, those that differ in a bit. swallowed_share: those
        whose float32 update is not 0 but was rounded away when it was stored in the model's dtype.
    Fingerprints (harness/models/fingerprint.py) are of all parameters: before and after the fine-tuning.
    checkpoints: those that were saved, in `checkpoints/<cell>` beside the record.
    """

    settings: dict[str, Any]
    steps: int
    examples: int
    loss_first: float | None
    loss_last: float | None
    frozen_share_of_linear: float
    frozen_share_of_all: float
    frozen_mask_sha256: str | None
    frozen_checked: int
    frozen_changed: int
    weights_trainable: int
    moved_share: float | None
    swallowed_share: float | None
    fingerprint_before: str
    fingerprint_after: str
    checkpoints: tuple[CheckpointReceipt, ...] = ()


#: The steps of the path from data to a figure, in their order.
Stage = Literal["data", "prompts", "scores", "mask", "weights", "engine", "logits", "text", "scorer", "canary"]


class LookedAt(Strict):
    """How much of something a receipt looked at: `seen` of `of` blocks, layers, weights, texts, tokens, items."""

    what: str
    seen: int
    of: int


class StageReceipt(Found):
    """What one step claims to have done, against what was seen of it by other means.

    name: what is compared, the same in every record. expected, seen: in words that need no code to be understood.
    advice: what to look at if it does not hold. evidence: the numbers and hashes behind both.
    looked_at: which share of what was to be checked; empty where that is all of it, or where nothing can be counted.
    """

    stage: Stage
    name: Name
    holds: bool
    expected: str
    seen: str
    advice: str
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    looked_at: tuple[LookedAt, ...] = Field(default=(), exclude_if=lambda shares: not shares)

    @property
    def words(self) -> str:
        """One sentence for a verdict."""
        return f"{self.stage}/{self.name}: expected {self.expected}, saw {self.seen}; {self.advice}"
