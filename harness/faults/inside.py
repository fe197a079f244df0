"""Faults of what is measured inside the model: overlaps, probes, subspaces and drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from harness.faults.base import UNLISTED, Fault


def _first_region_twice(right: Callable[..., Any]) -> Callable[..., Any]:
    """The overlap of a region with itself."""

    def measure(self: Any, context: Any) -> Any:
        return right(self, replace(context, find_masks=lambda _: context.find_masks(self.settings.first)))

    return measure


def _of_the_other(_right: Any) -> Any:
    """An overlap is a share of the second region where it is one of the first."""
    return property(lambda self: self.both / self.second if self.second else None)


def _from_the_store(_right: Callable[..., Any]) -> Callable[..., Any]:
    """Regions that are to be found anew are found from the scores that were stored for the intact model."""
    return lambda self, regions: [self.masks(region) for region in regions]


def _by_closeness(_right: Callable[..., Any]) -> Callable[..., Any]:
    """A weight counts as unchanged where it has moved by little."""

    def changed(before: Any, after: Any) -> Any:
        return (before - after.cpu().reshape(before.shape)).abs() > 0.05

    return changed


def _always_the_first(right: Callable[..., Any]) -> Callable[..., Any]:
    """Of every checkpoint the one that was read first is read."""
    read: list[Any] = []

    def updates(checkpoint: Any, *rest: Any) -> Any:
        read.append(checkpoint)
        return right(read[0], *rest)

    return updates


def _turned_round(right: Callable[..., Any]) -> Callable[..., Any]:
    """The weights of each group are filed under another one's name."""

    def places(*arguments: Any) -> Any:
        found = right(*arguments)
        return dict(zip(found, reversed(list(found.values())), strict=True))

    return places


def _by_the_weight_after(right: Callable[..., Any]) -> Callable[..., Any]:
    """A change is divided by what the weight has become."""
    return lambda before, change, *rest: right(before + change, change, *rest)


def _worst_heads(right: Callable[..., Any]) -> Callable[..., Any]:
    """Heads are sorted the wrong way round."""
    return lambda accuracy, count: right(-accuracy, count)


def _first_token(right: Callable[..., Any]) -> Callable[..., Any]:
    """Heads are probed at the first token, which is the same in every prompt."""
    return lambda last, found: right(torch.zeros_like(last), found)


def _labels_shuffled(right: Callable[..., Any]) -> Callable[..., Any]:
    """Labels stand beside other prompts, as where one list is sorted and the other is not."""

    def hits(features: Any, labels: Any, split: Any) -> Any:
        return right(features, labels.roll(len(labels) // 4), split)

    return hits


def _weakest_directions(right: Callable[..., Any]) -> Callable[..., Any]:
    """Subspaces are made of the directions with the least of the outputs."""

    def directions(weight: Any, gram: Any, count: int) -> Any:
        vectors, *rest = right(weight, gram, min(weight.shape))
        return (vectors.flip(1)[:, :count], *rest)

    return directions


def _other_part(right: Callable[..., Any]) -> Callable[..., Any]:
    """ΔW = (I − Π_s) Π_u W: the utility ranks outside of the safety ranks."""

    def factors(weight: Any, safety: Any, utility: Any, **ranks: Any) -> Any:
        return right(weight, utility, safety, **ranks)

    return factors


def _fault(name: str, title: str, says: str, *caught_by: str, cells: Sequence[str], wrong: Mapping[str, Any]) -> Fault:
    return Fault(name, UNLISTED, title, says, "inside", caught_by, wrong, tuple(cells))


FAULTS = (
    _fault(
        "overlap_with_itself",
        "The overlap of a region with itself in the place of another one",
        "masks give",
        "scorer/overlap-counts",
        cells=(),
        wrong={"harness.evaluations.overlap:Evaluation.measure": _first_region_twice},
    ),
    _fault(
        "overlap_of_the_other",
        "An overlap as a share of the other region",
        "masks give",
        "scorer/overlap-counts",
        cells=(),
        wrong={"harness.formulas.overlap:Overlap.overlap_share": _of_the_other},
    ),
    _fault(
        "regions_from_the_store",
        "Regions after fine-tuning from the intact model's stored scores",
        "those of the intact model",
        "scorer/scored-anew",
        cells=("lora",),
        wrong={"harness.runs.regions:RegionFinder.masks_anew": _from_the_store},
    ),
    _fault(
        "unchanged_by_closeness",
        "Weights that moved by little counted as unchanged",
        "every bit",
        "scorer/kept-bits",
        cells=("lora",),
        wrong={"harness.finetuning.fine_tuning:bitwise_changed": _by_closeness},
    ),
    _fault(
        "drift_of_the_first_checkpoint",
        "The drift of the first checkpoint under the names of all",
        "the weights give",
        "scorer/drift-figures",
        cells=("lora",),
        wrong={"harness.evaluations.drift:_updates": _always_the_first},
    ),
    _fault(
        "drift_of_another_group",
        "The drift of one group of weights under the name of another",
        "the weights give",
        "scorer/drift-figures",
        cells=("lora",),
        wrong={"harness.evaluations.drift:Evaluation._places": _turned_round},
    ),
    _fault(
        "drift_by_the_weight_after",
        "Relative drift divided by what the weight has become",
        "the weights give",
        "scorer/drift-figures",
        cells=("lora",),
        wrong={"harness.formulas.drift:group_figures": _by_the_weight_after},
    ),
    _fault(
        "worst_heads",
        "Attention heads sorted the wrong way round",
        "none of them",
        "mask/best-heads",
        cells=("heads",),
        wrong={"harness.probing.heads:top_heads": _worst_heads},
    ),
    _fault(
        "probed_at_the_first_token",
        "Attention heads probed at the first token of a prompt",
        "fit again",
        "scorer/probes",
        cells=(),
        wrong={"harness.probing.activations:_keep_last_token": _first_token},
    ),
    _fault(
        "probes_of_other_labels",
        "Probes with the labels of other prompts",
        "fit again",
        "scorer/probes",
        "mask/best-heads",
        cells=("heads",),
        wrong={"harness.probing.probe:validation_hits": _labels_shuffled},
    ),
    _fault(
        "subspaces_of_the_other_end",
        "Subspaces of the least important directions",
        "the spectra give",
        "scorer/subspaces",
        cells=(),
        wrong={"harness.formulas.subspace:leading_directions": _weakest_directions},
    ),
    _fault(
        "projection_the_other_way",
        "Orthogonal projection with safety and utility swapped",
        "swapped",
        "mask/ranks",
        cells=("projection",),
        wrong={"harness.formulas.subspace:projection_factors": _other_part},
    ),
)
