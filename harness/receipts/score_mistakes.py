"""Known mistakes of scores: what the scores in use would be if one had been made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from harness import plugins
from harness.attribution.base import method
from harness.models.editing import FoundRegion, SelectedRanks, SelectedWeights, remove_region, restore_region
from harness.models.layers import block_layers
from harness.receipts.reference import Reference, Wanted
from harness.regions.base import GRAM

#: A mistake: the scores that it would give, by layer. None where they cannot be told.
Mistake = Callable[[], Mapping[str, Tensor] | None]
_OTHER_POSITIONS = {"response": "predicting", "predicting": "response"}


def known_mistakes(reference: Reference, wanted: Wanted, found: FoundRegion) -> Mapping[str, Mistake]:
    """Each in words. None is computed before it is asked for. found: the region that was selected from the scores."""

    def otherwise(**changes: Any) -> Mistake:
        return lambda: reference.measured(replace(wanted, **changes))

    mistakes: dict[str, Mistake] = {"they have the opposite sign": lambda: _negated(reference, wanted)}
    if wanted.name is None:
        return mistakes
    for other in reference.spec.calibration:
        if other != wanted.name:
            mistakes[f"they are those of {other}"] = otherwise(name=other)
    mistakes["the blocks before it had been pruned already, as when scoring and pruning in one sweep"] = lambda: (
        behind_removed_blocks(reference, wanted, found)
    )
    if wanted.measure == GRAM:
        positions = {"activation_positions": _OTHER_POSITIONS[wanted.settings.activation_positions]}
        shifted = otherwise(settings=wanted.settings.model_copy(update=positions))
        return {**mistakes, "activations were taken one position off": shifted}
    own = method(wanted.measure)
    return {
        **mistakes,
        **own.mistakes(reference.block(wanted.block, wanted.name, wanted.seed), wanted.settings, wanted.seed or 0),
        **{
            f"they are those of the method {other}": otherwise(measure=other)
            for other in plugins.shipped_names("attribution")
            if other != own.name
        },
    }


def mistakes_of_a_sweep(reference: Reference, wanted: Wanted, plain: Mapping[str, Tensor]) -> Mapping[str, Mistake]:
    """Those of a block that is scored behind edited ones. plain: its scores."""
    return {
        "they have the opposite sign": lambda: {layer: -score for layer, score in plain.items()},
        "the blocks before it were those of the intact model, as in one pass": lambda: reference.measured(wanted),
    }


def _negated(reference: Reference, wanted: Wanted) -> Mapping[str, Tensor]:
    return {layer: -score for layer, score in (reference.measured(wanted) or {}).items()}


def behind_removed_blocks(reference: Reference, wanted: Wanted, found: FoundRegion) -> Mapping[str, Tensor] | None:
    """What a block would be measured as if the region had been removed from the blocks before it."""
    earlier = {layer for index in range(wanted.block) for layer in block_layers(reference.model, index)}
    part: FoundRegion
    if isinstance(found, SelectedWeights):
        part = SelectedWeights({layer: mask for layer, mask in found.masks.items() if layer in earlier})
    else:
        part = SelectedRanks({layer: factors for layer, factors in found.factors.items() if layer in earlier})
    removed = remove_region(reference.model, part)
    try:
        return reference.measured_now(wanted)
    finally:
        restore_region(reference.model, part, removed)
