"""Gradients of a fine-tuning, a second time: autograd on the plain loss of the step's samples, one sample at a time.

The trainer's batches, padding, masks and sums have no part in it; samples and labels are those read by other means.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.calibration.plain_block import NO_LABEL
from harness.formulas.draws import drawn

#: Steps of a fine-tuning that are looked at beside the last, and how many numbers of tensors in each, one tensor at
#: least.
STEPS, NUMBERS = 4, 16_000_000
#: By so much of itself, as Euclidean norms, the gradient of a tensor may be off, and by so much of that of all tensors
#: together: sums in another order. On the organisms 8e-7 was measured in float32, and 0.015 in bfloat16; deeper models
#: add up more of it.
ROUNDING, OF_ALL = 1e-3, 1e-6
ROUNDING_16_BIT, OF_ALL_16_BIT = 0.25, 1e-2

#: Token ids and labels of a sample.
Labelled = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Wanted:
    """What a fine-tuning's gradients are to be those of.

    sequences: token ids and labels of all samples. places: of each step, those of its samples. masks: by layer, True
    where a weight is frozen and has none. clipped: whether all gradients of a step may be scaled down together. cell:
    the steps and tensors that are looked at depend on it.
    """

    cell: str
    sequences: Sequence[Labelled]
    places: Sequence[Sequence[int]]
    masks: Mapping[str, Tensor]
    clipped: bool

    @functools.cached_property
    def steps(self) -> frozenset[int]:
        """Those that are looked at, counted from 0: drawn ones and the last, whose batch may be a smaller one."""
        return frozenset((*drawn(self.cell, "steps of gradients", len(self.places), STEPS), len(self.places) - 1))


@dataclass
class Gradients:
    """What was found. looked_at: tensors in all of the steps. off: (step, name, share of what rounding may do)."""

    steps: list[int] = field(default_factory=list)
    looked_at: int = 0
    off: list[tuple[int, str, float]] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """In words; empty where there is none."""
        if not self.off:
            return ""
        step, name, _ = self.off[0]
        return (
            f"gradients of {len(self.off)} of {self.looked_at} tensors that are not those of the loss of the answers, "
            f"first in step {step}, of {name}"
        )


@dataclass
class Silence:
    """Of every step the tensors that have no gradient at all, by their numbers. late: those that have none in step 1.

    B of an adapter is 0 at first, and so is the gradient of A.
    """

    late: frozenset[int] = frozenset()
    steps: list[frozenset[int]] = field(default_factory=list)

    def note(self, model: nn.Module, leaves: Sequence[Tensor]) -> None:
        """The step comes next."""
        if not self.steps:
            first = {id(tensor) for name, tensor in model.named_parameters() if ".lora_A." in name}
            self.late = frozenset(place for place, leaf in enumerate(leaves) if id(leaf) in first)
        held = [(place, leaf.grad) for place, leaf in enumerate(leaves) if leaf.grad is not None and leaf.numel()]
        norms = torch._foreach_norm([gradient for _, gradient in held], math.inf)  # one call for all of them
        moved = frozenset(place for (place, _), norm in zip(held, norms, strict=True) if float(norm))
        self.steps.append(frozenset(range(len(leaves))) - moved)

    @property
    def problem(self) -> str:
        """Of tensors that have a gradient in one step and none in another, in words; empty where there are none."""
        always = frozenset[int].intersection(*self.steps) if self.steps else frozenset[int]()
        lost = [
            (number, place)
            for number, silent in enumerate(self.steps, start=1)
            for place in sorted(silent - always)
            if number > 1 or place not in self.late
        ]
        if not lost:
            return ""
        return f"{len(lost)} gradients that are 0 in one step and not in others, first in step {lost[0][0]}"


def look(model: nn.Module, leaves: Sequence[Tensor], wanted: Wanted, step: int, found: Gradients) -> None:
    """Compare the gradients of drawn leaves with those of a step's samples. The step, counted from 0, comes next."""
    behind = _behind(model, leaves)
    chosen = _chosen(leaves, wanted.cell, step)
    held = [(name, tensor, leaves[place]) for place in chosen for name, tensor in [behind[place]] if tensor is not None]
    own = _own(model, [tensor for _, tensor, _ in held], [wanted.sequences[place] for place in wanted.places[step]])
    pairs = []
    for (name, _, leaf), plain in zip(held, own, strict=True):
        given = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.detach()
        mask = wanted.masks.get(name.removesuffix(".weight"))
        free = plain if mask is None else plain.masked_fill(mask.to(plain.device), 0.0)
        pairs.append((name, given.double().cpu(), free.double().cpu()))
    found.off += [(step + 1, "a tensor that is none of the model's", math.inf)] * (len(chosen) - len(held))
    found.steps.append(step + 1)
    found.looked_at += len(chosen)
    found.off += [(step + 1, name, share) for name, share in _off(pairs, wanted.clipped, _rounding(model)) if share > 1]


def _chosen(leaves: Sequence[Tensor], cell: str, step: int) -> list[int]:
    """Numbers of leaves."""
    chosen, left = list[int](), NUMBERS
    for place in drawn(cell, f"tensors of gradients in step {step}", len(leaves), len(leaves)):
        if not chosen or leaves[place].numel() <= left:
            chosen.append(place)
            left -= leaves[place].numel()
    return chosen


def _behind(model: nn.Module, leaves: Sequence[Tensor]) -> list[tuple[str, Tensor | None]]:
    """Name and tensor of the model for each leaf: itself, the parameter that is its value in 16 bits, or none.

    Of parameters that are equal each has one leaf, in the model's order.
    """
    left, found = dict(model.named_parameters()), list[tuple[str, Tensor | None]]()
    names = {id(tensor): name for name, tensor in left.items()}
    for leaf in leaves:
        name = names.get(id(leaf)) or next((name for name, tensor in left.items() if _is_rounded(leaf, tensor)), "")
        found.append((name, left.pop(name, None)))
    return found


def _is_rounded(leaf: Tensor, tensor: Tensor) -> bool:
    return tensor.shape == leaf.shape and torch.equal(tensor, leaf.to(tensor.dtype))


def _own(model: nn.Module, tensors: Sequence[Tensor], samples: Sequence[Labelled]) -> list[Tensor]:
    """Float32 gradients of the mean loss over the response tokens of all samples, each in a pass of its own."""
    tokens = max(1, sum(label != NO_LABEL for _, labels in samples for label in labels[1:]))
    sums = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in tensors]
    for ids, labels in samples:
        device = tensors[0].device
        targets = torch.tensor(labels[1:], device=device)
        with torch.enable_grad():
            logits = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0, :-1].float()
            loss = functional.cross_entropy(logits, targets, ignore_index=NO_LABEL, reduction="sum") / tokens
            gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient
    return sums


def _off(
    pairs: Sequence[tuple[str, Tensor, Tensor]], clipped: bool, rounding: tuple[float, float]
) -> list[tuple[str, float]]:
    """Of each tensor how far its gradient is off, as a share of what rounding may do."""
    whole = math.sqrt(sum(float(plain.square().sum()) for _, _, plain in pairs))
    scale = 1.0
    if clipped and whole:
        scale = min(1.0, sum(float((given * plain).sum()) for _, given, plain in pairs) / whole**2)
    of_itself, of_all = rounding
    return [
        (
            name,
            float((given - scale * plain).norm())
            / max(scale * (of_itself * float(plain.norm()) + of_all * whole), math.ulp(0.0)),
        )
        for name, given, plain in pairs
    ]


def _rounding(model: nn.Module) -> tuple[float, float]:
    sixteen_bit = any(tensor.dtype != torch.float32 for tensor in model.parameters())
    return (ROUNDING_16_BIT, OF_ALL_16_BIT) if sixteen_bit else (ROUNDING, OF_ALL)
