"""Faults of importance scores: schedule, sign, roles, accumulation, a block left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.faults.base import UNLISTED, Fault


def _in_one_sweep(original: Callable[..., Any]) -> Callable[..., Any]:
    """The region is scored and removed block by block where the spec asks for one pass over the intact model."""

    def settings_of(*arguments: Any) -> Any:
        return original(*arguments).model_copy(update={"schedule": "block_by_block"})

    return settings_of


def _negated(original: Callable[..., Any]) -> Callable[..., Any]:
    """Negated before they are kept, as the published code does under --neg_prune, and the largest are taken."""
    return lambda *arguments: {name: -score for name, score in original(*arguments).items()}


def _swapped(original: Callable[..., Any]) -> Callable[..., Any]:
    """The scores of the two calibration sets are handed over in the wrong order: utility as safety."""
    return lambda region: original(region)[::-1]


def _in_bfloat16(_original: Callable[..., Any]) -> Callable[..., Any]:
    """The absolute gradients of the examples are summed in bfloat16, as in the published code."""

    def accumulate_into(total: Any, _sum_over: Any) -> Any:
        def forward_hook(_layer: Any, inputs: Any, output: Any) -> None:
            inputs_of_examples = inputs[0].detach()

            def add(gradients: Any) -> None:
                for gradient, x in zip(gradients, inputs_of_examples, strict=True):
                    rounded = (gradient.T @ x).abs().to(torch.bfloat16)
                    total.copy_(total.to(torch.bfloat16) + rounded)

            output.register_hook(add)

        return forward_hook

    return accumulate_into


def _without_the_first_block(right: Callable[..., Any]) -> Callable[..., Any]:
    """No hook was set in the first block: its scores stay at 0, and of equal scores a row's first are taken."""

    def finite_scores(*arguments: Any) -> Any:
        return {
            name: torch.zeros_like(score) if ".layers.0." in name else score
            for name, score in right(*arguments).items()
        }

    return finite_scores


def _swapped_in_three_blocks(stored: Callable[..., Any]) -> Callable[..., Any]:
    """The two sets of scores change places block by block, as where a cache is filed by the block's number alone."""

    def wrong(self: Any, region: Any, data: str, settings: Any) -> Any:
        sets = region.settings.calibration_sets
        if len(sets) < 2:
            return stored(self, region, data, settings)
        own, other = (stored(self, region, name, settings) for name in (data, sets[1 - sets.index(data)]))
        return {name: score if ".layers.3." in name else other[name] for name, score in own.items()}

    return wrong


def _negated_in_a_block(original: Callable[..., Any]) -> Callable[..., Any]:
    """1 - x in the place of x in one block: large and small change places, and nothing is below 0."""

    def finite_scores(*arguments: Any) -> Any:
        return {
            name: score.max() - score if ".layers.1." in name else score for name, score in original(*arguments).items()
        }

    return finite_scores


def _first_block_left_as_it_is(remove: Callable[..., Any]) -> Callable[..., Any]:
    """In a sweep block by block the edit of the first block is not in force when those behind it are measured."""

    def wrong(model: Any, region: Any) -> Any:
        if any(".layers.0." not in name for name in region.masks):
            return remove(model, region)
        return {name: model.get_parameter(f"{name}.weight")[mask].clone() for name, mask in region.masks.items()}

    return wrong


FAULTS = (
    Fault(
        id="one_sweep",
        number=1,
        title="Scored and pruned in one sweep where one-shot was asked for",
        says="had been pruned already",
        stage="scores",
        caught_by=("scores/plain-definition",),
        replaces={"harness.runs.regions:RegionFinder._settings": _in_one_sweep},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="scores_negated",
        number=2,
        title="Scores with the sign flipped",
        says="sign",
        stage="scores",
        caught_by=("scores/sign", "scores/plain-definition"),
        replaces={"harness.runs.scoring:finite_scores": _negated},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="safety_and_utility_swapped",
        number=3,
        title="Safety and utility scores swapped",
        says="they are those of utility",
        stage="scores",
        caught_by=("scores/plain-definition", "scores/selected-region"),
        replaces={"harness.runs.regions:_data_of": _swapped},
        cells=("snip-set-difference",),
    ),
    Fault(
        id="sums_in_bfloat16",
        number=15,
        title="Gradients summed in bfloat16",
        says="bfloat16",
        stage="scores",
        caught_by=("scores/plain-definition",),
        replaces={"harness.attribution._gradient_sums:_accumulate_into": _in_bfloat16},
        cells=("snip-set-difference",),
    ),
    Fault(
        id="block_not_scored",
        number=UNLISTED,
        title="A block that was not scored",
        says="model.layers.0.",
        stage="scores",
        caught_by=("scores/every-block",),
        replaces={"harness.runs.scoring:finite_scores": _without_the_first_block},
        cells=("wanda-top",),
    ),
    Fault(
        id="swapped_in_three_blocks",
        number=UNLISTED,
        title="Safety and utility scores swapped in three of four blocks",
        says="they are those of utility",
        stage="scores",
        caught_by=("scores/plain-definition",),
        replaces={"harness.runs.regions:RegionFinder._stored": _swapped_in_three_blocks},
        cells=("snip-set-difference",),
    ),
    Fault(
        id="turned_round_in_a_block",
        number=UNLISTED,
        title="Scores of one block turned round, none below 0",
        says="block 2",
        stage="scores",
        caught_by=("scores/every-block", "scores/plain-definition"),
        replaces={"harness.runs.scoring:finite_scores": _negated_in_a_block},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="sweep_leaves_the_first_block",
        number=UNLISTED,
        title="Block by block, the first block's edit not in force behind it",
        says="were those of the intact model",
        stage="scores",
        caught_by=("scores/plain-definition",),
        replaces={"harness.runs.regions:remove_region": _first_block_left_as_it_is},
        cells=("block-by-block",),
    ),
)
