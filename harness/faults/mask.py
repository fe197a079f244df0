"""Faults of selection: masks laid out or filed wrongly, another comparison group, ranks of the other end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from harness.faults.base import UNLISTED, Fault
from harness.formulas.subspace import least_directions


def _one_block_off(original: Callable[..., Any]) -> Callable[..., Any]:
    """Masks are numbered one block off: each block gets that of the one before it, the first that of the last."""

    def select(*arguments: Any) -> Any:
        masks = original(*arguments)
        of_type: dict[str, list[str]] = defaultdict(list)
        for name in masks:
            of_type[name.rsplit(".", 1)[-1]].append(name)
        return {name: masks[names[index - 1]] for names in of_type.values() for index, name in enumerate(names)}

    return select


def _transposed(original: Callable[..., Any]) -> Callable[..., Any]:
    """A mask is laid out as inputs by outputs; in square layers nothing fails, and other weights are removed."""

    def select(*arguments: Any) -> Any:
        return {
            name: mask.T.contiguous() if mask.shape[0] == mask.shape[1] else mask
            for name, mask in original(*arguments).items()
        }

    return select


def _by_row(original: Callable[..., Any]) -> Callable[..., Any]:
    """The comparison group of the spec is not looked at: weights always compete within their row."""

    def select(region: Any, settings: Any, *others: Any) -> Any:
        return original(region, settings.model_copy(update={"comparison_group": "row"}), *others)

    return select


def _of_the_other_end(_original: Callable[..., Any]) -> Callable[..., Any]:
    """Directions come out of the eigenproblem with the least important first, and the first ones are taken."""
    return least_directions


def _one_in_three_blocks(ranks: Callable[..., Any]) -> Callable[..., Any]:
    """A loop that reads its rank from another variable in all blocks but the last."""

    def wrong(self: Any, name: str, weight: Any) -> Any:
        own = ranks(self, name, weight)
        return own if ".layers.3." in name else dict.fromkeys(own, 1)

    return wrong


FAULTS = (
    Fault(
        id="mask_of_another_layer",
        number=4,
        title="Mask applied to the layer of another block",
        says="the mask is that of",
        stage="mask",
        caught_by=("mask/selection", "mask/layers"),
        replaces={"harness.regions._scored:select": _one_block_off},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="mask_transposed",
        number=4,
        title="Mask transposed",
        says="transposed",
        stage="mask",
        caught_by=("mask/selection", "mask/layers"),
        replaces={"harness.regions._scored:select": _transposed},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="row_for_matrix",
        number=5,
        title="Row comparison where the matrix was asked for",
        says="over each row",
        stage="mask",
        caught_by=("mask/selection", "mask/share"),
        replaces={"harness.regions._scored:select": _by_row},
        cells=("block-by-block",),
    ),
    Fault(
        id="ranks_of_the_other_end",
        number=UNLISTED,
        title="ActSVD removes the least important ranks in place of the most important ones",
        says="the least important ones",
        stage="mask",
        caught_by=("mask/ranks",),
        replaces={"harness.formulas.subspace:leading_directions": _of_the_other_end},
        cells=("act-svd-top",),
    ),
    Fault(
        id="fewer_ranks_in_three_blocks",
        number=UNLISTED,
        title="ActSVD of rank 1 where 3 is asked for, in three of four blocks",
        says="and so in 21 of 28 layers",
        stage="mask",
        caught_by=("mask/ranks",),
        replaces={"harness.regions._ranks:RankRegion.ranks": _one_in_three_blocks},
        cells=("act-svd-top",),
    ),
)
