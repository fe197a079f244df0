"""The stage before the change: the region that a cell removes has been found, and the model is intact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.calibration.pairs import Sample
from harness.calibration.plain_block import NO_LABEL
from harness.formulas.draws import seeded
from harness.models.editing import FoundRegion
from harness.models.layers import block_layers, linear_layers
from harness.receipts import data, scores
from harness.receipts.planted import plainly_planted
from harness.receipts.reference import Reference, Wanted
from harness.receipts.scores_in_use import (
    RegionInUse,
    blocks_seen,
    declared,
    in_words,
    last_block,
    score_receipts,
    wanted,
)
from harness.regions import base as regions
from harness.regions.base import GRAM, Witness
from harness.spec.cell import Cell
from harness.spec.receipt import StageReceipt
from harness.spec.region import RegionSettings, sources_of


class Finder(Protocol):
    """What finds regions of the intact model, with what it finds them from."""

    @property
    def samples(self) -> Callable[[str, int | None], Sequence[Sample]]:
        """The tokenised samples of a calibration set, drawn with a seed or, for None, with the set's own."""

    def grams(self, data: str) -> Mapping[str, Tensor]:
        """Gram matrices of a calibration set by layer."""

    def find(self, region: RegionSettings, witness: Witness | None = None) -> FoundRegion:
        """A region; the witness is told what it is selected from."""

    def masks(self, region: RegionSettings) -> Mapping[str, Tensor]:
        """Those of a region of weights."""


class Files(Protocol):
    """The files that a run uses: SHA-256 by dataset name, and the file of the planted region."""

    @property
    def data_sha256(self) -> Mapping[str, str]:
        """See above."""

    @property
    def planted_path(self) -> Path | None:
        """See above."""


@dataclass(frozen=True)
class Sources:
    """What regions are found from, and what that is compared with."""

    reference: Reference
    finder: Finder
    files: Files


@dataclass(frozen=True)
class Found:
    """What was seen of the region that a cell removes, and of the data, scores and masks that the cell rests on.

    region: None of a cell that removes none. unchecked: what of these nobody checks by other means, in words.
    """

    region: FoundRegion | None
    receipts: tuple[StageReceipt, ...]
    unchecked: tuple[str, ...]

    @classmethod
    def seen(cls, sources: Sources, cell: Cell, region: FoundRegion | None, witness: Witness) -> Found:
        """witness: of what the cell's own region was selected from. Other regions, which are frozen or compared, are
        found again."""
        receipts = _data_receipts(sources, cell)
        for settings in _regions_of(sources.reference, cell):
            masks, seen = region, witness
            if masks is None or settings is not cell.region:
                seen = Witness()
                masks = sources.finder.find(settings, seen)
            in_use = RegionInUse(cell.id, sources.reference, regions.region(settings), masks, seen)
            receipts += _receipts_of(sources, in_use)
        return cls(region, tuple(one_of_each(receipts)), _unchecked(sources.reference, cell))


def _regions_of(reference: Reference, cell: Cell) -> list[RegionSettings]:
    """Every region that a cell rests on, and those that these are made from."""
    evaluated = [region for settings in reference.spec.evaluations_of(cell) for region in settings.regions]
    return list(dict.fromkeys(each for region in [*cell.regions, *evaluated] for each in (region, *region.sources)))


def _receipts_of(sources: Sources, in_use: RegionInUse) -> list[StageReceipt]:
    """Of the scores that a region was selected from, and of its masks or ranks."""
    reference, path = sources.reference, sources.files.planted_path
    settings = declared(reference, in_use.region)
    look = regions.Look(
        model=reference.model,
        layers=linear_layers(reference.model),
        drawn=_layers_in_drawn_order(reference, in_use.cell),
        attribution=settings,
        measured=in_use.witness.measured,
        masks=sources.finder.masks,
        planted=None if path is None else lambda: plainly_planted(path),
        heads=in_use.witness.heads,
        probed=lambda settings: reference.probed(settings, in_use.cell),
    )
    return [*score_receipts(in_use), *in_use.region.receipts(in_use.found, look)]


def _layers_in_drawn_order(reference: Reference, cell: str) -> dict[str, nn.Linear]:
    """All layers, those of the cell's blocks first, and in each part in an order that the cell draws."""
    layers, order = linear_layers(reference.model), []
    for block in (*reference.blocks_of(cell), None):
        own = list(layers if block is None else block_layers(reference.model, block))
        places = torch.randperm(len(own), generator=seeded(0, f"layers of {cell}")).tolist()
        order += [own[place] for place in places]
    return {name: layers[name] for name in dict.fromkeys(order)}


def _unchecked(reference: Reference, cell: Cell) -> tuple[str, ...]:
    """Regions without receipts, and methods without a plain definition."""
    found: list[str] = []
    for region in map(regions.region, _regions_of(reference, cell)):
        found += region.unchecked
        if region.measure is not None and region.measure.method is not None:
            name = region.settings.calibration_sets[0] if region.measure.uses_data else None
            if reference.measured(wanted(reference, region, name, last_block(reference))) is None:
                found.append(f"method {region.measure.method.name}: no plain definition")
    return tuple(dict.fromkeys(found))


def one_of_each(receipts: Sequence[StageReceipt]) -> list[StageReceipt]:
    """Of receipts of one name, as several regions give them, the first that does not hold, or else the first."""
    kept: dict[tuple[str, str], StageReceipt] = {}
    for receipt in receipts:
        earlier = kept.get((receipt.stage, receipt.name))
        if earlier is None or (earlier.holds and not receipt.holds):
            kept[receipt.stage, receipt.name] = receipt
    return list(kept.values())


def _data_receipts(sources: Sources, cell: Cell) -> list[StageReceipt]:
    """Of the files, of the samples drawn from them, and of the Grams that evaluations compute subspaces from."""
    reference = sources.reference
    bare = [
        name
        for settings in reference.spec.evaluations_of(cell)
        if not settings.regions
        for name in settings.calibration_sets
    ]
    hashes = {name: dataset.sha256 for name, dataset in reference.variant.datasets.items()}
    receipts = [data.declared_files(sources.files.data_sha256, hashes)]
    receipts += _sample_receipts(sources, [*_sets_of(_regions_of(reference, cell)), *((name, None) for name in bare)])
    return receipts + [_gram_receipt(sources, cell, name) for name in bare]


def _sets_of(asked: Sequence[RegionSettings]) -> list[tuple[str, int | None]]:
    """Calibration sets by name and seed that regions rest on."""
    used = [
        (name, region.seed)
        for region in map(regions.region, sources_of(asked))
        if region.measure is not None and region.measure.uses_data
        for name in region.settings.calibration_sets
    ]
    return list(dict.fromkeys(used))


def _sample_receipts(sources: Sources, sets: Sequence[tuple[str, int | None]]) -> list[StageReceipt]:
    if not sets:
        return []
    reference = sources.reference
    plain = [reference.samples(name, seed) for name, seed in sets]
    used = [sources.finder.samples(name, seed) for name, seed in sets]
    ids = [sample.input_ids[sample.labels == NO_LABEL].tolist() for samples in used for sample in samples]
    texts = reference.as_texts(ids)
    receipts = [data.same_samples(plain, used, [sources.files.data_sha256[own.dataset] for own in plain])]
    if reference.evaluated or reference.benign:
        receipts.append(data.nothing_evaluated(plain, texts, reference.evaluated, reference.frames, reference.benign))
    return receipts


def _gram_receipt(sources: Sources, cell: Cell, name: str) -> StageReceipt:
    """Of the Grams from which an evaluation computes subspaces itself."""
    reference, grams = sources.reference, sources.finder.grams(name)
    blocks, parts = reference.blocks_of(cell.id), []
    for block in blocks:
        plain = reference.measured(Wanted(GRAM, name, None, reference.spec.attribution, block)) or {}
        own = {layer: grams[layer] for layer in plain}
        where = in_words([block], last_block(reference))
        parts.append(scores.ScoresInUse("data", f"{GRAM} on {name}", own, plain, {}, where=where))
    where, sixteen_bit = in_words(blocks, last_block(reference)), reference.model.dtype != torch.float32
    return scores.as_defined(parts, where, sixteen_bit, blocks_seen(reference, blocks))
