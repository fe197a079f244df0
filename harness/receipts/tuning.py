"""Receipts of a fine-tuning: from what the trainer learned, the intact weights and the declared mask, computed anew.

None of it uses the trainer's own mask or merge: A and B (or the trained weights) are read as numbers, W₀ and M come
from the caller, and what they must give is put beside the weights that the model has afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.calibration.pairs import IGNORED, Sample
from harness.finetuning.training import KEY_PREFIX, TrainedFiles
from harness.formulas.draws import drawn
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import LookedAt, StageReceipt

#: Layers that are computed anew as a whole, and rows of every other one: float64 products take their time.
WHOLE_LAYERS, ROWS = 8, 64
FLOAT32_EPS = torch.finfo(torch.float32).eps
#: A row with a frozen weight must go on training elsewhere. AdamW moves every weight that has a gradient, so that
#: nearly all do; in a row that is frozen as a whole none does.
TRAINED_SHARE = 0.5

#: A 16-bit model rounds away what moves a few of its smallest weights alone, and so may its logits.
VISIBLE_SHARE = 0.01


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning was to do and what it left. W₀ and weights by layer, masks where layers have frozen weights.

    trained: what the trainer had learned at its end. logits_before, logits_after: of the first response token of one
    training sample, (vocabulary,). cell: which layers are computed anew as a whole, and which rows, depends on it.
    """

    settings: FineTuningSettings
    intact: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    trained: TrainedFiles
    logits_before: Tensor
    logits_after: Tensor
    cell: str = ""


@dataclass
class _Counts:
    """Weights that are computed anew. of: in all layers that were trained."""

    of: int = 0
    weights: int = 0
    off: int = 0
    must_move: int = 0
    lost: int = 0
    largest_update: float = 0.0
    frozen: int = 0
    frozen_moved: int = 0
    free_beside_frozen: int = 0
    trained_beside_frozen: int = 0


@torch.no_grad()
def first_response_logits(model: PreTrainedModel, sample: Sample) -> Tensor:
    """(vocabulary,) float32 on the CPU, where the first response token is predicted."""
    first = int((sample.labels != IGNORED).nonzero()[0])
    ids = sample.input_ids[None, :first].to(model.device)
    return model(input_ids=ids, use_cache=False).logits[0, -1].float().cpu()


@torch.no_grad()
def tuning_receipts(model: PreTrainedModel, tuned: Tuned) -> list[StageReceipt]:
    """Whether the model holds what was learned, and all but the frozen weights. None where no step was taken."""
    if tuned.settings.steps == 0:
        return []
    counts = _Counts()
    for name, weight, rows in _sampled(model, tuned):
        counts.of += weight.numel()
        _count(counts, name, rows, weight, tuned)
    receipts = [_merged(counts, tuned), *([_frozen_set(counts), _frozen_rows(counts)] if tuned.masks else [])]
    return [*receipts, _logits(tuned, counts)]


def _sampled(model: PreTrainedModel, tuned: Tuned) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, weight, numbers of rows) of every trained layer: all rows of some layers, and some of all others."""
    trained = {name for name in map(_layer_of, tuned.trained.tensors) if name is not None}
    layers = {name: layer.weight.detach() for name, layer in linear_layers(model).items() if name in trained}
    whole = {list(layers)[place] for place in drawn(tuned.cell, "layers as a whole", len(layers), WHOLE_LAYERS)}
    for name, weight in layers.items():
        rows = len(weight)
        chosen = range(rows) if name in whole else drawn(tuned.cell, f"rows of {name}", rows, ROWS)
        yield name, weight, torch.tensor(chosen)


def _layer_of(learned: str) -> str | None:
    """The layer that a trained tensor is of, where it is one of a layer with a weight."""
    name = learned.removeprefix(f"{KEY_PREFIX}.")
    for ending in (".lora_B.weight", ".weight"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return None


def _product(tuned: Tuned, name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The update of some rows before any mask, s·BA of LoRA or trained − W₀, in float64, and how far float32 may be
    from it.

    Sums of r products in float32 are off by at most (r + 2) rounding errors of the sum of their absolute values.
    """
    tensors = tuned.trained.tensors
    if tuned.settings.lora is None:
        product = tensors[f"{name}.weight"].cpu()[rows].double() - tuned.intact[f"{name}.weight"][rows].double()
        return product, torch.zeros_like(product)
    stored_b, stored_a = (tensors[f"{KEY_PREFIX}.{name}.lora_{x}.weight"].cpu() for x in "BA")
    b, a = stored_b[rows].double(), stored_a.double()
    rank = tuned.settings.lora.r
    scale = tuned.settings.lora.alpha / rank
    return scale * (b @ a), scale * (rank + 2) * FLOAT32_EPS * (b.abs() @ a.abs())  # (d_out, r) x (r, d_in)


def _count(counts: _Counts, name: str, rows: Tensor, weight: Tensor, tuned: Tuned) -> None:
    before = tuned.intact[f"{name}.weight"][rows].double()
    after = weight[rows.to(weight.device)].cpu().double()
    product, error = _product(tuned, name, rows)
    whole = tuned.masks.get(name)
    mask = torch.zeros(before.shape, dtype=torch.bool) if whole is None else whole.cpu()[rows]
    expected = before + product.masked_fill(mask, 0.0)
    error = (error + FLOAT32_EPS * expected.abs()).masked_fill(mask, 0.0)
    # Rounding to the dtype of the weights keeps order: the weight lies between what both ends become.
    low, high = ((expected + sign * error).to(weight.dtype).double() for sign in (-1, 1))
    moved, must_move = after != before, (before < low) | (before > high)
    counts.weights += after.numel()
    counts.off += int(((after < low) | (after > high)).sum())
    counts.must_move += int(must_move.sum())
    counts.lost += int((must_move & ~moved).sum())
    counts.largest_update = max(counts.largest_update, float((expected - before).abs().max()))
    counts.frozen += int(mask.sum())
    counts.frozen_moved += int((moved & mask).sum())
    beside = mask.any(dim=1, keepdim=True) & ~mask
    counts.free_beside_frozen += int(beside.sum())
    counts.trained_beside_frozen += int((beside & (product != 0)).sum())


def _merged(counts: _Counts, tuned: Tuned) -> StageReceipt:
    what = "the product of its adapters" if tuned.settings.lora else "what was trained"
    none = counts.largest_update == 0.0
    seen = f"{counts.off:,} of {counts.weights:,} weights elsewhere, {counts.lost:,} of them where they were before"
    seen = "no update at all: nothing was learned" if none else seen
    return StageReceipt(
        stage="weights",
        name="tuned-update",
        holds=counts.off == 0 and not none,
        expected=f"every weight of the fine-tuned model at its value before plus {what}, except frozen ones",
        seen=seen,
        advice="the update did not reach the weights that are measured (lost at the merge), or more or other weights "
        "were held back than the frozen ones: the figures are of another model than the fine-tuned one",
        evidence={
            "weights": counts.weights,
            "off": counts.off,
            "lost": counts.lost,
            "largest_update": counts.largest_update,
        },
        looked_at=(LookedAt(what="weights", seen=counts.weights, of=counts.of),),
    )


def _frozen_set(counts: _Counts) -> StageReceipt:
    return StageReceipt(
        stage="weights",
        name="frozen-set",
        holds=counts.frozen_moved == 0 and counts.lost == 0,
        expected=f"that exactly the {counts.frozen:,} frozen weights of the layers looked at stay as they were",
        seen=f"{counts.frozen_moved:,} of them moved, and {counts.lost:,} others that had an update did not",
        advice="a layer was frozen by the mask of another layer, or by none: each layer must use its own",
        evidence={"frozen": counts.frozen, "frozen_moved": counts.frozen_moved, "others_stuck": counts.lost},
    )


def _frozen_rows(counts: _Counts) -> StageReceipt:
    beside, trained = counts.free_beside_frozen, counts.trained_beside_frozen
    return StageReceipt(
        stage="weights",
        name="frozen-rows",
        holds=beside == 0 or trained >= TRAINED_SHARE * beside,
        expected="that in a row with a frozen weight all the other weights are trained",
        seen=f"{trained:,} of {beside:,} such weights trained",
        advice="whole rows were frozen where single weights were asked for: far more of the model was protected than "
        "the share says",
        evidence={"free_beside_frozen": beside, "trained": trained},
    )


def _logits(tuned: Tuned, counts: _Counts) -> StageReceipt:
    change = float((tuned.logits_after - tuned.logits_before).abs().max())
    return StageReceipt(
        stage="weights",
        name="tuned-logits",
        holds=change > 0 or counts.must_move < VISIBLE_SHARE * counts.weights,
        expected="that the fine-tuned model predicts the first word of a training answer otherwise than before",
        seen=f"its logits changed by at most {change:.3g}",
        advice="what is evaluated is still the model before the fine-tuning: look at where its weights are put",
        evidence={"largest_change": change},
    )
