"""The only module that changes weights. Every edit is made in place and undone bitwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.formulas.overlap import Overlap, overlap_by_layer
from harness.formulas.subspace import LowRankFactors, direction_count, rank_above_rounding
from harness.models.fingerprint import mask_fingerprint, model_fingerprint, weights_fingerprint
from harness.models.layers import layer_type, linear_layers
from harness.spec.receipt import EditReceipt, TruthComparison

Masks = Mapping[str, Tensor]


@dataclass(frozen=True)
class SelectedWeights:
    """A region of single weights: masks (d_out, d_in) bool by layer."""

    masks: Masks


@dataclass(frozen=True)
class SelectedRanks:
    """A region of ranks: the factors of ΔW by layer."""

    factors: Mapping[str, LowRankFactors]


FoundRegion = SelectedWeights | SelectedRanks


class WeightsNotRemoved(RuntimeError):
    """An edit did not reach the weights: what is measured under it would be about another model."""


class WeightsNotRestored(RuntimeError):
    """An edit could not be undone bitwise: nothing measured afterwards would be about the intact model."""


@dataclass
class EditInProgress:
    """What is known while an edit is in force; the receipt is complete after it is undone."""

    fingerprint_edited: str
    receipt: EditReceipt | None = None


def remove_region(model: nn.Module, region: FoundRegion) -> dict[str, Tensor]:
    """Take a region out of the weights. Returns what `restore_region` needs to put it back."""
    if isinstance(region, SelectedWeights):
        return zero_weights(model, region.masks)
    return subtract_low_rank(model, region.factors)


@torch.no_grad()
def restore_region(model: nn.Module, region: FoundRegion, removed: Mapping[str, Tensor]) -> None:
    """Undo `remove_region` bitwise."""
    if isinstance(region, SelectedWeights):
        restore_weights(model, region.masks, removed)
        return
    layers = linear_layers(model)
    for name, original in removed.items():
        layers[name].weight.copy_(original)


@torch.no_grad()
def zero_weights(model: nn.Module, masks: Masks) -> dict[str, Tensor]:
    """Set the selected weights to zero. Returns their former values, 1-d by layer."""
    removed: dict[str, Tensor] = {}
    layers = linear_layers(model)
    for name, mask in masks.items():
        weight = layers[name].weight
        mask = mask.to(weight.device)
        removed[name] = weight[mask].clone()
        weight[mask] = 0
    return removed


@torch.no_grad()
def restore_weights(model: nn.Module, masks: Masks, removed: Mapping[str, Tensor]) -> None:
    """Put back what `zero_weights` took out."""
    layers = linear_layers(model)
    for name, mask in masks.items():
        weight = layers[name].weight
        weight[mask.to(weight.device)] = removed[name]


def edit_dtype(weight: Tensor) -> torch.dtype:
    """What ΔW is computed in: float64 for float32 weights and wider, float32 for 16-bit ones."""
    return torch.float64 if weight.dtype in (torch.float32, torch.float64) else torch.float32


@torch.no_grad()
def subtract_low_rank(model: nn.Module, factors: Mapping[str, LowRankFactors]) -> dict[str, Tensor]:
    """W ← W − left (right W), computed in `edit_dtype` and rounded once to the dtype of W.

    Returns the former weights, on the CPU.
    """
    originals: dict[str, Tensor] = {}
    layers = linear_layers(model)
    for name, low_rank in factors.items():
        weight = layers[name].weight
        compute = edit_dtype(weight)
        left, right = (factor.to(weight.device, compute) for factor in (low_rank.left, low_rank.right))
        exact = weight.to(compute)
        edited = exact - left @ (right @ exact)  # (d_out, k) x ((k, d_out) x (d_out, d_in))
        originals[name] = weight.detach().to("cpu", copy=True)
        weight.copy_(edited)
    return originals


@contextmanager
def region_removed(model: nn.Module, region: FoundRegion, planted: Masks | None = None) -> Iterator[EditInProgress]:
    """Remove a region for the length of the context; afterwards the receipt is there.

    planted: the true region of an organism, with which the receipt compares masks.
    Raises WeightsNotRestored if the weights differ in one bit afterwards.
    """
    before = weights_fingerprint(model)
    removed = remove_region(model, region)
    try:
        edit = EditInProgress(weights_fingerprint(model))
        facts = (
            _facts_of_masks(model, region.masks, planted)
            if isinstance(region, SelectedWeights)
            else (_facts_of_ranks(model, removed))
        )
        yield edit
    finally:
        restore_region(model, region, removed)
    after = weights_fingerprint(model)
    edit.receipt = EditReceipt(
        weights_total=sum(layer.weight.numel() for layer in linear_layers(model).values()),
        fingerprint_before=before,
        fingerprint_edited=edit.fingerprint_edited,
        fingerprint_restored=after,
        **facts,
    )
    if after != before:
        raise WeightsNotRestored("the weights differ from those before the edit")


@contextmanager
def all_weights_restored(model: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """Whatever happens to the parameters within the context, afterwards they are as they were, in every bit.

    Gives the parameters as they were, by name; the copy lies in the CPU's memory and is as large as the model.
    Raises WeightsNotRestored if a parameter is gone or if the fingerprint of all of them differs.
    """
    before = model_fingerprint(model)
    saved = {name: parameter.detach().to("cpu", copy=True) for name, parameter in model.named_parameters()}
    try:
        yield saved
    finally:
        parameters = dict(model.named_parameters())
        if parameters.keys() != saved.keys():
            raise WeightsNotRestored("the model has other parameters than before")
        with torch.no_grad():
            for name, values in saved.items():
                parameters[name].copy_(values)
    if model_fingerprint(model) != before:
        raise WeightsNotRestored("the parameters differ from those before")


@contextmanager
def rows_shuffled(model: nn.Module, seed: int) -> Iterator[None]:
    """The rows of every linear layer in another order for the length of the context: a destroyed model whose weights
    have the same sizes.

    Needs no copy of the model: it is undone by the inverse order.
    Raises WeightsNotRestored if the weights differ in one bit afterwards.
    """
    before = weights_fingerprint(model)
    generator = torch.Generator().manual_seed(seed)
    layers = linear_layers(model)
    orders = {name: torch.randperm(layer.weight.shape[0], generator=generator) for name, layer in layers.items()}
    _reorder_rows(layers, orders)
    try:
        yield
    finally:
        _reorder_rows(layers, {name: order.argsort() for name, order in orders.items()})
    if weights_fingerprint(model) != before:
        raise WeightsNotRestored("the weights differ from those before their rows were shuffled")


@torch.no_grad()
def _reorder_rows(layers: Mapping[str, nn.Linear], orders: Mapping[str, Tensor]) -> None:
    for name, order in orders.items():
        weight = layers[name].weight
        weight.copy_(weight[order.to(weight.device)])


def _facts_of_masks(model: nn.Module, masks: Masks, planted: Masks | None) -> dict[str, Any]:
    selected: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for name, layer in linear_layers(model).items():
        total[layer_type(name)] += layer.weight.numel()
        selected[layer_type(name)] += _removed_count(name, layer.weight, masks[name]) if name in masks else 0
    if not any(selected.values()):
        raise UserError("the region holds no weight: the edited model would be the intact one; give a larger share")
    truth, truth_by_layer = (None, {}) if planted is None else compare_with_truth(masks, planted)
    return {
        "weights_selected": sum(selected.values()),
        "sparsity": sum(selected.values()) / sum(total.values()),
        "sparsity_by_layer_type": {kind: selected[kind] / total[kind] for kind in total},
        "mask_sha256": mask_fingerprint(masks),
        "truth": truth,
        "truth_by_layer": truth_by_layer,
    }


def _removed_count(name: str, weight: Tensor, mask: Tensor) -> int:
    """Weights of the mask that are zero now, which must be all of them."""
    zero = int((weight[mask.to(weight.device)] == 0).sum())
    if zero != int(mask.sum()):
        raise WeightsNotRemoved(f"{name}: {int(mask.sum())} weights were to be removed, {zero} are")
    return zero


@torch.no_grad()
def _facts_of_ranks(model: nn.Module, originals: Mapping[str, Tensor]) -> dict[str, Any]:
    """rank(ΔW) of the edit that is in force, from the weights before and after."""
    layers = linear_layers(model)
    ranks: dict[str, int] = {}
    directions: dict[str, int] = {}
    shares = [0.0]
    for name, original in originals.items():
        after = layers[name].weight
        ranks[name] = rank_above_rounding(original.to(after.device).double() - after.double(), after)
        directions[name] = direction_count(after)
        shares.append(ranks[name] / directions[name])
    return {"rank_by_layer": ranks, "directions_by_layer": directions, "rank_share": max(shares)}


def compare_with_truth(masks: Masks, planted: Masks) -> tuple[TruthComparison, dict[str, TruthComparison]]:
    """Precision and recall of a region against the planted one, overall and for each layer of either."""
    by_layer = overlap_by_layer(masks, planted)
    whole = sum(by_layer.values(), Overlap(0, 0, 0))
    return _as_comparison(whole), {name: _as_comparison(counts) for name, counts in by_layer.items()}


def _as_comparison(counts: Overlap) -> TruthComparison:
    return TruthComparison(
        selected=counts.first, planted=counts.second, both=counts.both, precision=counts.precision, recall=counts.recall
    )
