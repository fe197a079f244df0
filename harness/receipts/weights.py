"""Receipts of the weights: what the edit did to them, by hashes and products that were formed before it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.finetuning.checkpoints import FROZEN, Checkpoint
from harness.models.editing import FoundRegion, SelectedRanks, SelectedWeights, edit_dtype
from harness.models.fingerprint import tensor_checksum
from harness.models.layers import linear_layers
from harness.spec.receipt import CheckpointReceipt, StageReceipt

#: Random directions on which W is compared with what it should be. One Gaussian direction misses a wrong row with
#: probability 0; four show it also where it is nearly orthogonal to one of them.
DIRECTIONS = 4
#: A sum of n products is off by about sqrt(n) roundings; so many times that is the bound.
ROUNDINGS = 4


@dataclass(frozen=True)
class ExpectedProduct:
    """What W is to make of random directions z (d_in, k) after ranks are taken out: (W − ΔW) z, (d_out, k), float64.

    computed: what rounding on the way, before W − ΔW itself is rounded, may do to the product, (d_out, k).
    """

    directions: Tensor
    product: Tensor
    computed: Tensor


@dataclass(frozen=True)
class ExpectedWeights:
    """What every parameter is to be under an edit. checksums: 128 bits by name; products: of layers that lose ranks."""

    checksums: dict[str, str]
    products: dict[str, ExpectedProduct]


@torch.no_grad()
def expected_weights(model: nn.Module, region: FoundRegion | None) -> ExpectedWeights:
    """From the intact model: zero at the places of the mask, the same bits everywhere else. One layer at a time."""
    masks = region.masks if isinstance(region, SelectedWeights) else {}
    factors = region.factors if isinstance(region, SelectedRanks) else {}
    checksums: dict[str, str] = {}
    products: dict[str, ExpectedProduct] = {}
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        layer = name.removesuffix(".weight")
        if layer in factors:
            weight = parameter.double()
            directions = torch.randn(weight.shape[1], DIRECTIONS, generator=generator, dtype=torch.float64)
            directions = directions.to(weight.device)
            product = weight @ directions  # (d_out, d_in) x (d_in, k) -> (d_out, k)
            left, right = (factor.to(weight.device).double() for factor in (factors[layer].left, factors[layer].right))
            terms = weight.abs() @ directions.abs()
            terms = terms + left.abs() @ (right.abs() @ terms)
            computed = ROUNDINGS * weight.shape[1] ** 0.5 * torch.finfo(edit_dtype(parameter)).eps * terms
            products[name] = ExpectedProduct(directions, product - left @ (right @ product), computed)
        elif layer in masks:
            checksums[name] = tensor_checksum(torch.where(masks[layer].to(parameter.device), 0, parameter))
        else:
            checksums[name] = tensor_checksum(parameter)
    return ExpectedWeights(checksums, products)


@torch.no_grad()
def edited_places(expected: ExpectedWeights, model: nn.Module, region: FoundRegion | None) -> StageReceipt:
    """Whether the edit changed what the region says, and nothing else. Called while the edit is in force."""
    wrong: list[str] = []
    worst = 0.0
    for name, parameter in model.named_parameters():
        if name in expected.products:
            beyond = _beyond_rounding(expected.products[name], parameter)
            worst = max(worst, beyond)
            holds = beyond <= 1.0
        else:
            holds = tensor_checksum(parameter) == expected.checksums.get(name)
        if not holds:
            wrong.append(name.removesuffix(".weight"))
    evidence: dict[str, float | int | str] = {"parameters_wrong": len(wrong)}
    if expected.products:
        evidence["largest_deviation_in_roundings"] = worst
    return StageReceipt(
        stage="weights",
        name="edited-places",
        holds=not wrong,
        expected=_what_is_expected(region),
        seen=_what_is_wrong(wrong, model, region) if wrong else "just that",
        advice="look at how the region is applied to the weights: its layer names, its orientation, its dtype",
        evidence=evidence,
    )


def _beyond_rounding(expected: ExpectedProduct, weight: Tensor) -> float:
    """The largest deviation of W z from what is expected, as a multiple of what rounding W to its dtype may do.

    Each weight is rounded by at most eps/2 of itself; the bound is twice the sum of that over a row, and what the
    computation may have lost before: where a row is all but taken out, that is more than what is left.
    """
    now = weight.double()
    bound = torch.finfo(weight.dtype).eps * (now.abs() @ expected.directions.abs()) + expected.computed
    deviation = (now @ expected.directions - expected.product).abs()
    ratio = deviation / bound.clamp_min(torch.finfo(weight.dtype).tiny)
    return float("inf") if ratio.isnan().any() else float(ratio.max())


def _what_is_expected(region: FoundRegion | None) -> str:
    if region is None:
        return "the weights of the intact model"
    if isinstance(region, SelectedWeights):
        selected = sum(int(mask.sum()) for mask in region.masks.values())
        return f"the {selected} selected weights at zero and every other weight as in the intact model"
    return f"the ranks of {len(region.factors)} layers taken out and every other weight as in the intact model"


def _what_is_wrong(wrong: list[str], model: nn.Module, region: FoundRegion | None) -> str:
    words = f"other weights in {len(wrong)} parameters, first {wrong[0]}"
    if isinstance(region, SelectedWeights):
        layers = linear_layers(model)
        left = sum(
            int((layers[name].weight[mask.to(layers[name].weight.device)] != 0).sum())
            for name, mask in region.masks.items()
        )
        words += f"; {left} of the selected weights are not zero"
    return words


def intact_before(expected: str, seen: str) -> StageReceipt:
    """Whether a cell begins with the model that the run is about. Both: fingerprints of all parameters."""
    return _same_weights(
        "intact-before",
        {"expected": expected, "seen": seen},
        expected="the cell to begin with the intact model's weights",
        otherwise="others, left behind by something that ran before",
        advice="start again with a fresh process, and look at what changes weights without putting them back",
    )


def saved_checkpoint(edited: str, on_disk: str) -> StageReceipt:
    """Whether a saved checkpoint holds the model as edited. Both: fingerprints of the linear layers."""
    return _same_weights(
        "saved",
        {"edited": edited, "on_disk": on_disk},
        expected="the saved checkpoint to hold the edited weights",
        otherwise="other weights in the file that was written",
        advice="save while the edit is in force, neither before nor after it: the published code saved the model "
        "before it was pruned",
    )


def _same_weights(name: str, fingerprints: dict[str, str], expected: str, otherwise: str, advice: str) -> StageReceipt:
    """fingerprints: by what they are of; all are to be the same."""
    same = len(set(fingerprints.values())) == 1
    return StageReceipt(
        stage="weights",
        name=name,
        holds=same,
        expected=expected,
        seen="them" if same else otherwise,
        advice=advice,
        evidence={of: fingerprint[:12] for of, fingerprint in fingerprints.items()},
    )


def own_measurements(origins: Mapping[str, tuple[str, str | None]]) -> StageReceipt:
    """Whether stored scores or Gram matrices are those that the cell asks for, and not another cell's.

    origins: by region and calibration set, in words, what is asked for, and what was written beside the stored tensors
    by whoever computed them; None where nothing is stored under that name.
    """
    foreign = [(found, wanted) for wanted, found in origins.values() if found != wanted]
    return StageReceipt(
        stage="weights",
        name="own-scratch",
        holds=not foreign,
        expected="the stored measurements that this cell asks for",
        seen=f"{foreign[0][0] or 'nothing'} where {foreign[0][1]} were asked for" if foreign else "them",
        advice="two cells share one place on disk: delete the folder `store` and look at what names its files",
        evidence={"stored": len(origins), "foreign": len(foreign)},
    )


@torch.no_grad()
def own_checkpoints(
    model: nn.Module,
    intact: Mapping[str, Tensor],
    checkpoints: tuple[Checkpoint, ...],
    written: tuple[CheckpointReceipt, ...],
    ended_at: int,
) -> StageReceipt:
    """Whether checkpoints on disk are this fine-tuning's: the files as written, the last one the model as it is.

    intact: the parameters before. ended_at: steps of the fine-tuning; a last checkpoint of an earlier step is
    compared by its files alone.
    """
    changed = [
        str(receipt.step)
        for checkpoint, receipt in zip(checkpoints, written, strict=True)
        if _file_hashes(checkpoint.directory) != receipt.files_sha256
    ]
    differing = []
    if checkpoints and checkpoints[-1].step == ended_at:
        differing = [
            name
            for name, layer in linear_layers(model).items()
            if not _is_merged(checkpoints[-1], name, intact[f"{name}.weight"], layer.weight)
        ]
    problems = [f"other files at step {', '.join(changed)}"] if changed else []
    problems += (
        [f"an update that is not the model's in {len(differing)} layers, first {differing[0]}"] if differing else []
    )
    return StageReceipt(
        stage="weights",
        name="own-checkpoints",
        holds=not problems,
        expected=f"{len(written)} checkpoints of this cell's own fine-tuning on disk",
        seen="; ".join(problems) or "them",
        advice="two cells share one folder for checkpoints, or something wrote into it afterwards: run the cell again "
        "with a new --out",
        evidence={"checkpoints": len(written), "changed": len(changed), "layers_differing": len(differing)},
    )


def _file_hashes(directory: Path) -> dict[str, str]:
    if not directory.is_dir():
        return {}
    files = {path.name: path for path in sorted(directory.iterdir())}
    if (masks := directory.parent / FROZEN).is_file():  # one for all checkpoints of a fine-tuning
        files[f"../{FROZEN}"] = masks
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def _is_merged(checkpoint: Checkpoint, name: str, before: Tensor, after: Tensor) -> bool:
    """Whether W is W₀ + update within one rounding to its dtype, one of the float32 sum, and the update's own.

    The update was formed on the model's device and is formed again on the CPU, where its terms are added in another
    order.
    """
    merged = before.double().cpu() + checkpoint.update(name, before).double()
    now = after.detach().double().cpu()
    rounding = (torch.finfo(after.dtype).eps + torch.finfo(torch.float32).eps) * torch.maximum(merged.abs(), now.abs())
    return bool(((now - merged).abs() <= rounding + checkpoint.update_rounding(name, before)).all())
