"""From a cell's declaration to masks: scores, comparison, schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness import plugins
from harness.attribution.base import BlockStream, Scores
from harness.calibration.pairs import Sample, samples_sha256
from harness.errors import UserError
from harness.formulas.selection import bottom_mask, set_difference_mask, top_mask
from harness.models.editing import restore_weights, zero_weights
from harness.models.layers import block_layers, linear_layers, transformer_blocks
from harness.runs.head_regions import HeadFinder
from harness.runs.store import ScoreStore
from harness.spec.region import (
    AttributionSettings,
    BottomRegion,
    HeadsRegion,
    PlantedRegion,
    Region,
    ScoredRegion,
    SetDifferenceRegion,
    TopRegion,
    calibration_sets_of,
)

Masks = dict[str, Tensor]
NO_DATA = ""


@dataclass(frozen=True)
class RegionFinder:
    """Finds regions of one intact model.

    model_sha256: fingerprint of the intact model. samples: tokenised, by calibration set.
    """

    model: PreTrainedModel
    model_sha256: str
    samples: Mapping[str, Sequence[Sample]]
    defaults: AttributionSettings
    store: ScoreStore
    source_sha256: str
    planted: Masks | None
    heads: HeadFinder

    def masks(self, region: Region) -> Masks:
        """The masks of a region, on the CPU. The model is intact before and after."""
        if isinstance(region, PlantedRegion):
            if self.planted is None:
                raise UserError("this variant has no planted region")
            return self.planted
        if isinstance(region, HeadsRegion):
            return self.heads.masks(region)
        settings = self._settings(region)
        if settings.schedule == "one_shot":
            scores = [self._stored_scores(region, name, settings) for name in _data_of(region)]
            return select(region, settings, scores)
        return self._block_by_block(region, settings)

    def _settings(self, region: ScoredRegion) -> AttributionSettings:
        overrides = {"schedule": region.schedule, "comparison_group": region.comparison_group}
        return self.defaults.model_copy(update={k: v for k, v in overrides.items() if v is not None})

    def _stored_scores(self, region: ScoredRegion, data: str, settings: AttributionSettings) -> Scores:
        method = plugins.load("attribution", region.method)
        samples = self.samples[data] if method.USES_DATA else []
        key = {
            "model": self.model_sha256,
            "samples": samples_sha256(samples),
            "method": region.method,
            "loss_reduction": settings.loss_reduction,
            "activation_positions": settings.activation_positions,
            "seed": region.seed if not method.USES_DATA else None,
            "source": self.source_sha256,
        }
        return self.store.get(key, lambda: one_shot_scores(self.model, samples, region.method, settings, region.seed))

    def _block_by_block(self, region: ScoredRegion, settings: AttributionSettings) -> Masks:
        """Edit block k before block k + 1 is scored; everything is put back at the end (appendix B)."""
        method = plugins.load("attribution", region.method)
        streams = [BlockStream(self.model, self.samples[name] if method.USES_DATA else []) for name in _data_of(region)]
        masks: Masks = {}
        removed: dict[str, Tensor] = {}
        try:
            for index in range(len(transformer_blocks(self.model))):
                layers = block_layers(self.model, index)
                scores = [_on_cpu(method.score(stream, layers, settings, region.seed)) for stream in streams]
                found = select(region, settings, scores)
                removed.update(zero_weights(self.model, found))
                masks.update(found)
                for stream in streams:
                    stream.advance()
        finally:
            restore_weights(self.model, {name: masks[name] for name in removed}, removed)
        return masks


def one_shot_scores(
    model: PreTrainedModel, samples: Sequence[Sample], method_name: str, settings: AttributionSettings, seed: int,
    layers: Mapping[str, nn.Linear] | None = None,
) -> Scores:  # fmt: skip
    """Scores of all linear layers of the model as it is, on the CPU, from one pass over the samples.

    Raises UserError if a score is not finite: a mask from NaN would be a mask from nothing.
    """
    stream = BlockStream(model, samples)
    method = plugins.load("attribution", method_name)
    scores = _on_cpu(method.score(stream, layers or linear_layers(model), settings, seed))
    for name, score in scores.items():
        if not torch.isfinite(score).all():
            raise UserError(
                f"the {method_name} scores of {name} are not finite; the model overflows on the calibration data"
            )
    return scores


def select(region: ScoredRegion, settings: AttributionSettings, scores: Sequence[Scores]) -> Masks:
    """Masks by layer. scores: of the data, or of safety and utility, in the order of `_data_of`."""
    group = settings.comparison_group
    if isinstance(region, SetDifferenceRegion):
        safety, utility = scores
        return {n: set_difference_mask(utility[n], safety[n], region.p, region.q, group) for n in safety}
    if isinstance(region, TopRegion):
        return {n: top_mask(score, region.fraction, group) for n, score in scores[0].items()}
    if isinstance(region, BottomRegion):
        return {n: bottom_mask(score, region.fraction, group) for n, score in scores[0].items()}
    raise UserError(f"no selection is written for {type(region).__name__}")


def _data_of(region: ScoredRegion) -> list[str]:
    return calibration_sets_of(region) or [NO_DATA]


def _on_cpu(scores: Scores) -> Scores:
    return {name: score.cpu() for name, score in scores.items()}
