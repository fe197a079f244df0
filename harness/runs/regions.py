"""From a cell's declaration to what its edit needs: scores or Grams, comparison, schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness import plugins
from harness.attribution.base import Scores, method
from harness.attribution.random import seeded
from harness.calibration.pairs import Sample, samples_sha256
from harness.calibration.stream import BlockStream
from harness.errors import UserError
from harness.formulas.matching import matched_random_mask
from harness.low_rank.factors import low_rank_factors
from harness.low_rank.grams import gram_matrices
from harness.models.editing import FoundRegion, SelectedRanks, SelectedWeights, remove_region, restore_region
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import block_layers, linear_layers, transformer_blocks
from harness.regions._ranks import RankSettings
from harness.regions._scored import ScoredSettings
from harness.regions.act_svd import Settings as ActSvdRegion
from harness.regions.attention_heads import Settings as HeadsRegion
from harness.regions.matched_random import Settings as MatchedRandomRegion
from harness.regions.planted import Settings as PlantedRegion
from harness.runs.head_regions import HeadFinder
from harness.runs.selection import Masks, select
from harness.runs.store import MemoryStore, TensorStore
from harness.spec.region import AttributionSettings, Region, RegionSettings, ScoredWeightRegion, WeightRegion

#: What a region is found from: scores or Grams by layer.
Measured = dict[str, Tensor]
NO_DATA = ""


class ModelIsAnother(RuntimeError):
    """The model was changed: what would be measured now does not belong to the model that it is asked of."""


@dataclass
class Witness:
    """What a region was selected from, noted while it is found: scores or Grams by layer, of the data or of safety and
    utility. Empty for a region that rests on none."""

    measured: list[Measured] = field(default_factory=list)

    def note(self, measured: Sequence[Measured]) -> None:
        """Add what was measured of all layers, or of one block more."""
        self.measured = self.measured or [{} for _ in measured]
        for kept, layers in zip(self.measured, measured, strict=True):
            kept.update(layers)


@dataclass(frozen=True)
class RegionFinder:
    """Finds regions of one intact model. Raises ModelIsAnother where it would have to measure a changed one.

    model_sha256: fingerprint of the intact model. samples: the tokenised samples of a calibration set by its name,
    drawn with a seed or, for None, with the set's own. environment: hash of the source and the machine that stored
    scores and Grams come from.
    """

    model: PreTrainedModel
    model_sha256: str
    samples: Callable[[str, int | None], Sequence[Sample]]
    defaults: AttributionSettings
    store: TensorStore | MemoryStore
    environment: str
    planted: Masks | None
    heads: HeadFinder

    def masks(self, region: WeightRegion) -> Masks:
        """The masks of a region that is made of weights."""
        found = self.find(region)
        if not isinstance(found, SelectedWeights):
            raise TypeError(f"{region.select} selects ranks, not weights")
        return dict(found.masks)

    def find(self, region: Region, witness: Witness | None = None) -> FoundRegion:
        """What editing needs to remove a region, on the CPU. The model is intact before and after.

        witness: is told what the region is selected from.
        """
        if isinstance(region, PlantedRegion):
            if self.planted is None:
                raise UserError("this variant has no planted region")
            return SelectedWeights(self.planted)
        if isinstance(region, HeadsRegion):
            return SelectedWeights(self.heads.masks(region))
        if isinstance(region, MatchedRandomRegion):
            return SelectedWeights(self._matched(region))
        assert isinstance(region, ScoredSettings | RankSettings)
        settings = self._settings(region)
        layers = linear_layers(self.model)
        if settings.schedule == "one_shot":
            measured = [self._stored(region, name, settings) for name in _data_of(region)]
            if witness is not None:
                witness.note(measured)
            return found_region(region, settings, layers, measured)
        return self._block_by_block(region, settings, witness)

    def masks_anew(self, regions: Sequence[ScoredWeightRegion]) -> list[Masks]:
        """Masks of the regions of the model as it is now, whatever was done to it since it was intact.

        Nothing that is stored is used, and nothing is stored: scores are computed once for all regions that
        rest on the same samples, and are gone with this call.
        """
        now = replace(self, model_sha256=model_fingerprint(self.model), store=MemoryStore())
        return [now.masks(region) for region in regions]

    def grams(self, data: str) -> Measured:
        """Gram matrices of the intact model on a calibration set: those from which regions of ranks are found."""
        region = ActSvdRegion(select="act-svd", data=data, rank=1)  # a Gram is the same for every rank
        return self._stored(region, data, self.defaults)

    def _matched(self, region: MatchedRandomRegion) -> Masks:
        """Weights of like magnitude in every layer; the draw in a layer depends on the seed and its name alone."""
        layers, masks = linear_layers(self.model), self.masks(region.of)
        draws = {name: seeded(region.seed, f"matched {name}") for name in masks}
        return {
            name: matched_random_mask(layers[name].weight.detach(), mask, region.window, draws[name])
            for name, mask in masks.items()
        }

    def _settings(self, region: ScoredSettings | RankSettings) -> AttributionSettings:
        overrides = {key: getattr(region, key, None) for key in ("schedule", "comparison_group")}
        return self.defaults.model_copy(update={k: v for k, v in overrides.items() if v is not None})

    def _stored(self, region: ScoredSettings | RankSettings, data: str, settings: AttributionSettings) -> Measured:
        """Scores or Grams of the intact model, from the store where they have been measured before."""
        samples = self._samples(region, data)
        key, origin = self._key(region, samples, settings), self._origin(region, samples)
        if isinstance(region, RankSettings):
            return self.store.get(key, lambda: one_shot_grams(self._own_model(), samples, settings), origin)
        return self.store.get(
            key, lambda: one_shot_scores(self._own_model(), samples, region.method, settings, _seed_of(region)), origin
        )

    def _key(
        self, region: ScoredSettings | RankSettings, samples: Sequence[Sample], settings: AttributionSettings
    ) -> dict[str, object]:
        """Everything that decides stored scores or Grams."""
        key = {
            "model": self.model_sha256,
            "samples": samples_sha256(samples),
            "activation_positions": settings.activation_positions,
            "environment": self.environment,
        }
        if isinstance(region, RankSettings):
            return {**key, "kind": "gram"}
        origin = plugins.origin("attribution", region.method)
        return key | {
            "kind": "score",
            "method": region.method,
            "plugin": None if origin is None else asdict(origin),
            "loss_reduction": settings.loss_reduction,
            "seed": None if method(region.method).uses_data else _seed_of(region),
        }

    def _origin(self, region: ScoredSettings | RankSettings, samples: Sequence[Sample]) -> str:
        """In words what is measured on what. It is formed apart from the key, which it has to agree with."""
        what = "Gram matrices" if isinstance(region, RankSettings) else f"{region.method} scores"
        drawn = f"{len(samples)} samples ({samples_sha256(samples)[:8]})" if samples else f"seed {_seed_of(region)}"
        return f"{what} of the model {self.model_sha256[:8]} on {drawn}"

    def origins(self, region: Region | ScoredSettings | RankSettings) -> dict[str, tuple[str, str | None]]:
        """By calibration set, what a region's stored measurements should be, and what is written beside them.

        Empty for a region that rests on nothing stored.
        """
        return {name: pair for source in region.sources for name, pair in self._origins(source).items()}

    def _origins(self, region: RegionSettings) -> dict[str, tuple[str, str | None]]:
        if not isinstance(region, ScoredSettings | RankSettings):
            return {}
        settings = self._settings(region)
        if settings.schedule != "one_shot" or not isinstance(self.store, TensorStore):
            return {}
        sets = {name: self._samples(region, name) for name in _data_of(region)}
        return {
            name: (self._origin(region, samples), self.store.origin(self._key(region, samples, settings)))
            for name, samples in sets.items()
        }

    def _own_model(self) -> PreTrainedModel:
        """The model, if it is still the one whose fingerprint its scores and Grams are kept under."""
        if model_fingerprint(self.model) != self.model_sha256:
            raise ModelIsAnother("regions of the intact model were asked for while its weights are changed")
        return self.model

    def _samples(self, region: ScoredSettings | RankSettings, data: str) -> Sequence[Sample]:
        uses_data = isinstance(region, RankSettings) or method(region.method).uses_data
        return self.samples(data, region.seed) if uses_data else []

    def _block_by_block(
        self, region: ScoredSettings | RankSettings, settings: AttributionSettings, witness: Witness | None
    ) -> FoundRegion:
        """Edit block k before block k + 1 is measured; everything is put back at the end (appendix B)."""
        streams = [BlockStream(self._own_model(), self._samples(region, name)) for name in _data_of(region)]
        measure = _measurement(region, settings)
        done: list[tuple[FoundRegion, Mapping[str, Tensor]]] = []
        try:
            for index in range(len(transformer_blocks(self.model))):
                layers = block_layers(self.model, index)
                measured = [measure(stream, layers) for stream in streams]
                if witness is not None:
                    witness.note(measured)
                found = found_region(region, settings, layers, measured)
                done.append((found, remove_region(self.model, found)))
                for stream in streams:
                    stream.advance()
        finally:
            for found, removed in done:
                restore_region(self.model, found, removed)
        return _joined([found for found, _ in done])


def _measurement(
    region: ScoredSettings | RankSettings, settings: AttributionSettings
) -> Callable[[BlockStream, Mapping[str, nn.Linear]], Measured]:
    """What is measured of a block before it is edited."""
    if isinstance(region, RankSettings):
        return lambda stream, layers: gram_matrices(stream, layers, settings)
    return lambda stream, layers: _finite_scores(region.method, stream, layers, settings, _seed_of(region))


def found_region(
    region: ScoredSettings | RankSettings,
    settings: AttributionSettings,
    layers: Mapping[str, nn.Linear],
    measured: Sequence[Measured],
) -> FoundRegion:
    """Masks, or low-rank factors, of some layers.

    measured: scores, or Grams, of the data or of safety and utility, in the order of `_data_of`.
    """
    if isinstance(region, RankSettings):
        return SelectedRanks(low_rank_factors(region, layers, measured))
    devices = {name: layer.weight.device for name, layer in layers.items()}
    return SelectedWeights(select(region, settings, measured, devices))


def _joined(parts: Sequence[FoundRegion]) -> FoundRegion:
    """Regions of one kind in different blocks as one."""
    if isinstance(parts[0], SelectedWeights):
        weights = cast(Sequence[SelectedWeights], parts)
        return SelectedWeights({name: mask for part in weights for name, mask in part.masks.items()})
    ranks = cast(Sequence[SelectedRanks], parts)
    return SelectedRanks({name: factors for part in ranks for name, factors in part.factors.items()})


def one_shot_grams(model: PreTrainedModel, samples: Sequence[Sample], settings: AttributionSettings) -> Measured:
    """Gram matrices of all linear layers of the model as it is, from one pass over the samples."""
    return gram_matrices(BlockStream(model, samples), linear_layers(model), settings)


def one_shot_scores(
    model: PreTrainedModel, samples: Sequence[Sample], name: str, settings: AttributionSettings, seed: int
) -> Scores:
    """Scores of all linear layers of the model as it is, on the CPU, from one pass over the samples.

    name: of the method.
    """
    return _finite_scores(name, BlockStream(model, samples), linear_layers(model), settings, seed)


def _finite_scores(
    name: str, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
) -> Scores:
    """Raises UserError if a score is not finite: a mask from NaN would be a mask from nothing."""
    scores = _on_cpu(method(name).score(stream, layers, settings, seed))
    for layer, score in scores.items():
        if not torch.isfinite(score).all():
            raise UserError(f"the {name} scores of {layer} are not finite; the model overflows on the calibration data")
    return scores


def _data_of(region: ScoredSettings | RankSettings) -> list[str]:
    return region.calibration_sets or [NO_DATA]


def _seed_of(region: ScoredSettings | RankSettings) -> int:
    """The seed of a method that looks at no data."""
    return region.seed if region.seed is not None else 0


def _on_cpu(scores: Scores) -> Scores:
    return {name: score.cpu() for name, score in scores.items()}
