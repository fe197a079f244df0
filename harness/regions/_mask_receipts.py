"""Receipts of the mask: of every layer, that what is selected is what the scores and the spec select.

Masks are made again in numpy from the scores in use, of a few rows of every layer that are drawn by the layer's name.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from harness.models.layers import layer_type
from harness.spec.receipt import StageReceipt
from harness.spec.region import ComparisonGroup

#: Rows of a layer that are looked at where weights compete within their row.
ROWS = 16
#: Scores of all layers that are sorted where weights compete over the matrix; the deepest layers come first.
MOST_SORTED = 4_000_000

Masks = Mapping[str, Tensor]
Scores = Mapping[str, Tensor]


def fits_the_model(masks: Masks, layers: Mapping[str, nn.Linear], all_layers: bool) -> StageReceipt:
    """Whether each mask has the name and shape of a layer. all_layers: every layer has to have one."""
    problems = [f"a mask for {name}, which is no layer" for name in masks if name not in layers]
    problems += [
        f"{name} has a mask of {tuple(mask.shape)} for weights of {tuple(layers[name].weight.shape)}"
        for name, mask in masks.items()
        if name in layers and mask.shape != layers[name].weight.shape
    ]
    missing = [name for name in layers if name not in masks] if all_layers else []
    problems += [f"no mask for {name}" for name in missing]
    return StageReceipt(
        stage="mask",
        name="layers",
        holds=not problems,
        expected=f"a mask for {'each' if all_layers else 'some'} of the {len(layers)} linear layers, of its shape",
        seen="; ".join(problems[:3]) or f"{len(masks)}",
        advice="a mask of another layer, or one that was turned, removes other weights than were selected",
        evidence={"masks": len(masks), "problems": len(problems)},
    )


class DeclaresSelection(Protocol):
    """A region selected by scores, as far as these receipts ask it; see harness.regions._scored.ScoredRegion."""

    def expected(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray:
        """The mask of some rows or of a whole matrix, by sorting in numpy."""

    def rule(self) -> str:
        """In words, which weights are selected."""

    def counts(self, count: Callable[[float], int]) -> tuple[int, int]:
        """How many weights of a layer are selected at least and at most."""

    def mistakes(
        self, scores: Sequence[np.ndarray], group: ComparisonGroup
    ) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
        """Mistakes of its own, in words, each with the mask that it would give."""


def selected_as_scored(
    region: DeclaresSelection, group: ComparisonGroup, masks: Masks, scores: Sequence[Scores]
) -> StageReceipt:
    """Whether the masks are those that the scores in use select, weight for weight.

    scores: of the data, or of safety and utility.
    """
    looked_at, wrong = 0, {}
    for name in reversed(list(masks)):
        if group == "matrix" and looked_at >= MOST_SORTED:
            break
        of_layer = [_numbers(part[name]) for part in scores if name in part]
        mask = masks[name].cpu().numpy()
        if len(of_layer) != len(scores) or of_layer[0].shape != mask.shape:
            wrong[name] = mask.size
            continue
        rows = _rows(name, len(mask)) if group == "row" else np.arange(len(mask))
        differing = int((region.expected([part[rows] for part in of_layer], group) != mask[rows]).sum())
        looked_at += mask[rows].size
        if differing:
            wrong[name] = differing
    seen = f"the same mask, in {looked_at} weights of {len(masks)} layers"
    if wrong:
        seen = f"{sum(wrong.values())} of {looked_at} weights otherwise, in {len(wrong)} layers, first in " + (
            f"{next(iter(wrong))}: {_cause(region, group, masks, scores, next(iter(wrong)))}"
        )
    return StageReceipt(
        stage="mask",
        name="selection",
        holds=not wrong,
        expected=f"the weights that {region.rule()} over {_GROUPS[group]}",
        seen=seen,
        advice="another set of weights was removed than the spec declares; look at where masks are made from scores "
        "and handed on",
        evidence={"weights_looked_at": looked_at, "weights_otherwise": sum(wrong.values()), "layers": len(wrong)},
    )


_GROUPS = {"row": "each row", "matrix": "the whole matrix"}


def plain_top(scores: np.ndarray, fraction: float, group: ComparisonGroup) -> np.ndarray:
    """The int(fraction * size) largest of each row, or of the matrix; of equals those that come first."""
    groups = scores if group == "row" else scores.reshape(1, -1)
    rows, columns = scores.shape
    count = int(columns * fraction) if group == "row" else int(fraction * columns * rows)
    chosen = np.zeros(groups.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-groups, axis=1, kind="stable")[:, :count], True, axis=1)
    return chosen.reshape(scores.shape)


def _cause(region: DeclaresSelection, group: ComparisonGroup, masks: Masks, scores: Sequence[Scores], name: str) -> str:
    """The known mistake that gives the very mask of a layer."""
    mask = masks[name].cpu().numpy()
    for words, candidate in _mistakes(region, group, scores, name):
        made = candidate()
        if made.shape == mask.shape and np.array_equal(made, mask):
            return words
    return "no known mistake explains it"


def _mistakes(
    region: DeclaresSelection, group: ComparisonGroup, scores: Sequence[Scores], name: str
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    own = [_numbers(part[name]) for part in scores if name in part]
    if len(own) != len(scores):
        return
    other: ComparisonGroup = "matrix" if group == "row" else "row"
    yield f"weights were compared over {_GROUPS[other]}", lambda: region.expected(own, other)
    yield "the mask was transposed", lambda: region.expected(own, group).T
    yield "the scores were negated before they were compared", lambda: region.expected([-score for score in own], group)
    yield from region.mistakes(own, group)

    def of_layer(layer: str) -> np.ndarray:
        return region.expected([_numbers(part[layer]) for part in scores], group)

    for layer in scores[0]:
        if layer != name and layer_type(layer) == layer_type(name):
            yield f"the mask is that of {layer}", partial(of_layer, layer)


def share_as_asked(region: DeclaresSelection, group: ComparisonGroup, masks: Masks) -> StageReceipt:
    """Whether every layer holds as many selected weights as the spec asks for, by layer type.

    A set difference holds at most its q, and at least what p can leave of it.
    """
    found: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    least: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    for name, mask in masks.items():
        kind = layer_type(name)
        low, high = bounds(region, group, tuple(mask.shape))
        sizes[kind] += mask.numel()
        found[kind] += int(mask.sum())
        least[kind] += low
        most[kind] += high
    wrong = [kind for kind in found if not least[kind] <= found[kind] <= most[kind]]
    shown = wrong or list(found)
    return StageReceipt(
        stage="mask",
        name="share",
        holds=not wrong,
        expected="selected weights in " + ", ".join(f"{k}: {_range(least[k], most[k])} of {sizes[k]}" for k in shown),
        seen=", ".join(f"{kind}: {found[kind]}" for kind in shown),
        advice="another share was removed than the spec asks for: look at the fraction and the comparison group",
        evidence={f"{kind}_share": found[kind] / sizes[kind] for kind in found},
    )


def bounds(region: DeclaresSelection, group: ComparisonGroup, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many weights of a layer of a shape (d_out, d_in) are selected at least and at most."""
    groups, size = (shape[0], shape[1]) if group == "row" else (1, shape[0] * shape[1])

    def count(fraction: float) -> int:
        return groups * (int(size * fraction) if group == "row" else int(fraction * shape[1] * shape[0]))

    return region.counts(count)


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def as_large_and_apart(masks: Masks, of: Masks) -> StageReceipt:
    """Whether a matched region has as many weights in every layer as the region it is matched to, and none of it."""
    sizes = sum(int(mask.sum()) != int(of[name].sum()) if name in of else 1 for name, mask in masks.items())
    sizes += sum(name not in masks for name in of)
    shared = sum(
        int((mask & of[name]).sum()) for name, mask in masks.items() if name in of and of[name].shape == mask.shape
    )
    return StageReceipt(
        stage="mask",
        name="matched",
        holds=not sizes and not shared,
        expected="in every layer as many weights as the other region has, and none of its own",
        seen=f"{sizes} layers of another size, {shared} weights of the other region",
        advice="a control of another size, or one that holds the region itself, controls nothing",
        evidence={"layers_of_another_size": sizes, "shared": shared},
    )


def as_made_again(masks: Masks, plain: Masks) -> StageReceipt:
    """Whether a region is that of its plain definition, weight for weight. plain: masks made by other means."""
    return _weight_for_weight(
        "plain-definition",
        _differing(masks, plain),
        expected="the masks of the region's plain definition",
        otherwise="as it has them",
        advice="another set of weights was found than the region defines",
    )


def as_in_the_file(masks: Masks, planted: Masks) -> StageReceipt:
    """Whether the region is the planted one, as read again from its file."""
    return _weight_for_weight(
        "planted",
        _differing(masks, planted),
        expected="the planted region, as its file has it",
        otherwise="as in the file",
        advice="the mask was changed after it was read",
    )


def _weight_for_weight(name: str, differing: int, expected: str, otherwise: str, advice: str) -> StageReceipt:
    return StageReceipt(
        stage="mask",
        name=name,
        holds=not differing,
        expected=expected,
        seen=f"{differing} weights that are not {otherwise}",
        advice=advice,
        evidence={"weights_otherwise": differing},
    )


def _differing(masks: Masks, others: Masks) -> int:
    """Weights that are selected in the one and not in the other."""
    differing = sum(
        int((mask != others[name]).sum()) if name in others and others[name].shape == mask.shape else mask.numel()
        for name, mask in masks.items()
    )
    return differing + sum(int(mask.sum()) for name, mask in others.items() if name not in masks)


def whole_heads(masks: Masks, fraction: float, heads: int, head_size: int) -> StageReceipt:
    """Whether as many heads are selected as asked for, each as whole rows of q_proj and whole columns of o_proj.

    heads: of the whole model.
    """
    wanted = max(1, round(fraction * heads))
    rows = sum(int(mask.all(dim=1).sum()) for name, mask in masks.items() if layer_type(name) == "q_proj")
    columns = sum(int(mask.all(dim=0).sum()) for name, mask in masks.items() if layer_type(name) == "o_proj")
    touched = sum(int(mask.any(dim=1).sum()) for name, mask in masks.items() if layer_type(name) == "q_proj")
    return StageReceipt(
        stage="mask",
        name="heads",
        holds=rows == columns == touched == wanted * head_size,
        expected=f"{wanted} of {heads} heads: {wanted * head_size} rows of q_proj and as many columns of o_proj",
        seen=f"{rows} whole rows ({touched} touched) and {columns} whole columns",
        advice="a head is rows of q_proj and columns of o_proj; on the other axes it goes on speaking",
        evidence={"rows": rows, "columns": columns},
    )


def _rows(name: str, count: int) -> np.ndarray:
    """The rows of a layer that are looked at: the same for the same layer, in every run."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return np.sort(generator.choice(count, size=min(ROWS, count), replace=False))


def _numbers(scores: Tensor) -> np.ndarray:
    return scores.detach().float().cpu().numpy()
