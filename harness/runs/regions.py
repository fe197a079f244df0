"""From a cell's declaration to what its edit needs: scores or Grams, comparison, schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample, samples_sha256
from harness.calibration.stream import BlockStream
from harness.models.editing import FoundRegion, SelectedRanks, SelectedWeights, remove_region, restore_region
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import block_layers, linear_layers, transformer_blocks
from harness.regions import base
from harness.regions.base import Witness, measure_of
from harness.runs import computed_by
from harness.runs.head_regions import HeadFinder
from harness.runs.measuring import Measured, measuring
from harness.runs.store import MemoryStore, TensorStore
from harness.spec.region import AttributionSettings, Region, RegionSettings, ScoredWeightRegion, WeightRegion

Masks = dict[str, Tensor]
NO_DATA = ""


class ModelIsAnother(RuntimeError):
    """The model was changed: what would be measured now does not belong to the model that it is asked of."""


@dataclass(frozen=True)
class RegionFinder:
    """Finds regions of one intact model. Raises ModelIsAnother where it would have to measure a changed one.

    model_sha256: fingerprint of the intact model. samples: the tokenised samples of a calibration set by its name,
    drawn with a seed or, for None, with the set's own. machine: what stored scores and Grams are computed on.
    set_in_words: a calibration set, for whoever looks into the store.
    """

    model: PreTrainedModel
    model_sha256: str
    samples: Callable[[str, int | None], Sequence[Sample]]
    defaults: AttributionSettings
    store: TensorStore | MemoryStore
    machine: Mapping[str, object]
    planted: Masks | None
    heads: HeadFinder
    set_in_words: Callable[[str], str] = str

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
        return base.region(region).find(self, witness)

    def from_measured(self, region: base.Region, witness: Witness | None) -> FoundRegion:
        """See `harness.regions.base.Finder`."""
        settings = self._settings(region)
        if settings.schedule != "one_shot":
            return self._block_by_block(region, settings, witness)
        measured = [self._stored(region, name, settings) for name in _data_of(region)]
        if witness is not None:
            witness.note(measured)
        return region.selected(settings, linear_layers(self.model), measured)

    def masks_anew(self, regions: Sequence[ScoredWeightRegion]) -> list[Masks]:
        """Masks of the regions of the model as it is now, whatever was done to it since it was intact.

        Nothing that is stored is used, and nothing is stored: scores are computed once for all regions that
        rest on the same samples, and are gone with this call.
        """
        now = replace(self, model_sha256=model_fingerprint(self.model), store=MemoryStore())
        return [now.masks(region) for region in regions]

    def grams(self, data: str) -> Measured:
        """Gram matrices of the intact model on a calibration set: those from which regions of ranks are found."""
        return self._measured_once(base.Grams(), data, self.samples(data, None), self.defaults, None)

    def _settings(self, region: base.Region) -> AttributionSettings:
        return region.attribution(self.defaults)

    def _stored(self, region: base.Region, data: str, settings: AttributionSettings) -> Measured:
        return self._measured_once(measure_of(region), data, self._samples(region, data), settings, region.seed)

    def _measured_once(
        self,
        measure: base.Measure,
        data: str,
        samples: Sequence[Sample],
        settings: AttributionSettings,
        seed: int | None,
    ) -> Measured:
        """Scores or Grams of the intact model, from the store where they have been measured before."""
        key = self._key(measure, samples, settings, seed)
        words = {"origin": self._origin(measure, samples, settings, seed), "measured": measure.words}
        words |= {"data": f"{len(samples)} samples of {self.set_in_words(data)}"} if samples else {}

        return self.store.get(
            key, lambda: measuring(measure).of_model(self._own_model(), samples, settings, seed or 0), words
        )

    def _key(
        self, measure: base.Measure, samples: Sequence[Sample], settings: AttributionSettings, seed: int | None
    ) -> dict[str, object]:
        """Everything that decides stored scores or Grams."""
        return {
            "model": self.model_sha256,
            "samples": samples_sha256(samples),
            "activation_positions": settings.activation_positions,
            "machine": self.machine,
            **measuring(measure).key(settings, seed or 0),
        }

    def _origin(
        self, measure: base.Measure, samples: Sequence[Sample], settings: AttributionSettings, seed: int | None
    ) -> str:
        """In words what is measured on what. It is formed apart from the key, which it has to agree with."""
        drawn = f"{len(samples)} samples ({samples_sha256(samples)[:8]})" if samples else f"seed {seed or 0}"
        how = f"activations at {settings.activation_positions} tokens"
        code = computed_by.of_grams()
        if measure.method is not None:
            how += f", the {settings.loss_reduction} of losses"
            code = computed_by.of_scores(measure.name)
        made = computed_by.in_words(code, self.machine)
        return f"{measure.words} of the model {self.model_sha256[:8]} on {drawn}, {how}, by {made}"

    def origins(self, regions: Iterable[RegionSettings]) -> dict[str, tuple[str, str | None]]:
        """By region and calibration set, what stored measurements should be, and what is written beside them.

        Empty for regions that rest on nothing stored.
        """
        sources = dict.fromkeys(source for settings in regions for source in settings.sources)
        return {
            f"{number} {name}": pair
            for number, source in enumerate(sources)
            for name, pair in self._origins(base.region(source)).items()
        }

    def _origins(self, region: base.Region) -> dict[str, tuple[str, str | None]]:
        settings, measure, probe = self._settings(region), region.measure, region.settings.probe
        if probe is not None:
            return {"probe": self.heads.origin(probe)}
        if measure is None or settings.schedule != "one_shot" or not isinstance(self.store, TensorStore):
            return {}
        sets = {name: self._samples(region, name) for name in _data_of(region)}
        return {
            name: (
                self._origin(measure, samples, settings, region.seed),
                self.store.origin(self._key(measure, samples, settings, region.seed)),
            )
            for name, samples in sets.items()
        }

    def _own_model(self) -> PreTrainedModel:
        """The model, if it is still the one whose fingerprint its scores and Grams are kept under."""
        if model_fingerprint(self.model) != self.model_sha256:
            raise ModelIsAnother("regions of the intact model were asked for while its weights are changed")
        return self.model

    def _samples(self, region: base.Region, data: str) -> Sequence[Sample]:
        return self.samples(data, region.seed) if measure_of(region).uses_data else []

    def _block_by_block(
        self, region: base.Region, settings: AttributionSettings, witness: Witness | None
    ) -> FoundRegion:
        """Edit block k before block k + 1 is measured; everything is put back at the end (appendix B)."""
        streams = [BlockStream(self._own_model(), self._samples(region, name)) for name in _data_of(region)]
        measure, seed = measuring(measure_of(region)), region.seed or 0
        done: list[tuple[FoundRegion, Mapping[str, Tensor]]] = []
        try:
            for index in range(len(transformer_blocks(self.model))):
                layers = block_layers(self.model, index)
                measured = [measure.of_block(stream, layers, settings, seed) for stream in streams]
                if witness is not None:
                    witness.note(measured)
                found = region.selected(settings, layers, measured)
                done.append((found, remove_region(self.model, found)))
                for stream in streams:
                    stream.advance()
        finally:
            for found, removed in done:
                restore_region(self.model, found, removed)
        return _joined([found for found, _ in done])


def _joined(parts: Sequence[FoundRegion]) -> FoundRegion:
    """Regions of one kind in different blocks as one."""
    if isinstance(parts[0], SelectedWeights):
        weights = cast(Sequence[SelectedWeights], parts)
        return SelectedWeights({name: mask for part in weights for name, mask in part.masks.items()})
    ranks = cast(Sequence[SelectedRanks], parts)
    return SelectedRanks({name: factors for part in ranks for name, factors in part.factors.items()})


def _data_of(region: base.Region) -> list[str]:
    return region.settings.calibration_sets or [NO_DATA]
