"""What one process keeps between cells: every variant is loaded once, whatever the number of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import plugins
from harness.calibration.same_forward import refuse_other_forward
from harness.engines.base import Engine
from harness.errors import InvalidRun
from harness.models.editing import WeightsNotRemoved, WeightsNotRestored
from harness.models.fingerprint import model_fingerprint, tokenizer_fingerprint
from harness.models.loading import LoadedModel, load_variant
from harness.reading import real
from harness.receipts.state import ModelState, left_as_found
from harness.runs.bench import Bench, Learned, Step, prepare_bench
from harness.runs.binding import BoundBenchmark
from harness.runs.canaries import measure_canaries
from harness.runs.canaries_found import Canaries
from harness.runs.cells import CellJob, measure_cell
from harness.runs.journal import Journal
from harness.runs.keys import digest
from harness.runs.regions import ModelIsAnother
from harness.runs.store import TensorStore
from harness.runs.thresholds import validity_thresholds
from harness.validity.classification import Thresholds


@dataclass(frozen=True)
class Identity:
    """Which weights and tokenizer a variant turned out to be."""

    model_sha256: str
    tokenizer_sha256: str


@dataclass
class Workbench:
    """Loaded models, and benchmarks made ready on them. Methods take and give what crosses processes.

    measured_on: the kind of machine that cells are marked with, where it is another than the run's own.
    """

    store: Path
    measured_on: str | None = None
    _models: dict[Path, tuple[LoadedModel, Identity]] = field(default_factory=dict)
    _benches: dict[str, tuple[Bench, Learned]] = field(default_factory=dict)
    _engines: dict[Path, tuple[str, Engine]] = field(default_factory=dict)

    def identify(self, bound: BoundBenchmark) -> Identity:
        """Load the variant, if it is not loaded yet, and say what it is."""
        return self._loaded(bound)[1]

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """The thresholds of validity that the intact model's own texts set."""
        with _weights_as_asked():
            return validity_thresholds(self._bench(bound)[0])

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
        """What the harness says of states of the model whose outcome is known beforehand."""
        bench, _ = self._bench(bound)
        before, found = ModelState.of(bench.loaded.model), Canaries()
        with _weights_as_asked(), suppress(WeightsNotRestored):
            found = measure_canaries(bench, thresholds)
        left = left_as_found(before, ModelState.of(bench.loaded.model))
        if not left.holds:
            self._let_go()
        return found if left.holds else replace(found, receipts=(*found.receipts, left))

    def measure(
        self, bound: BoundBenchmark, cell_id: str, thresholds: Thresholds | None, journal: Journal, step: Step
    ) -> None:
        """Measure one cell and write it."""
        cell = next(cell for cell in bound.cells if cell.id == cell_id)
        bench, learned = self._bench(bound)
        job = CellJob(cell, thresholds, journal.checkpoints_path(cell_id), step)
        with _weights_as_asked():
            measured = measure_cell(bench, learned, job)
        if not measured.intact:
            self._let_go()
        result = measured.result
        if self.measured_on is not None:
            result = result.model_copy(update={"measured_on": self.measured_on})
        journal.write_cell(result, measured.completions, measured.raw)

    def _loaded(self, bound: BoundBenchmark) -> tuple[LoadedModel, Identity]:
        place = real(bound.variant_file)
        if place not in self._models:
            self._let_go()  # one model at a time: a second one may not fit
            loaded = load_variant(bound.variant, bound.variant_file)
            refuse_other_forward(loaded.model, bound.variant.name)
            self._models[place] = (
                loaded,
                Identity(model_fingerprint(loaded.model), tokenizer_fingerprint(loaded.tokenizer)),
            )
        return self._models[place]

    def _bench(self, bound: BoundBenchmark) -> tuple[Bench, Learned]:
        loaded, identity = self._loaded(bound)
        # Two specs may have one id, and one variant's file may be run with other values or fewer cells.
        key = digest(
            {
                "spec": bound.spec.model_dump(mode="json"),
                "variant": bound.variant.model_dump(mode="json"),
                "cells": [cell.id for cell in bound.cells],
            }
        )
        if key not in self._benches:
            store = TensorStore(self.store, bound.variant.name)
            engine = self._engine(bound, loaded)
            self._benches[key] = prepare_bench(bound, loaded, identity.model_sha256, store, engine), Learned()
        return self._benches[key]

    def _engine(self, bound: BoundBenchmark, loaded: LoadedModel) -> Engine:
        """One engine for all benchmarks of a model: it may take minutes to start, and all of a GPU's memory."""
        place, name = real(bound.variant_file), bound.variant.engine
        if place in self._engines and self._engines[place][0] != name:
            self._close_engines()
        if place not in self._engines:
            self._engines[place] = name, plugins.load("engines", name).make(loaded)
        return self._engines[place][1]

    def _let_go(self) -> None:
        """The model is loaded anew when it is asked for again."""
        self._close_engines()
        self._models.clear()

    def _close_engines(self) -> None:
        self._benches.clear()
        for _, engine in self._engines.values():
            engine.close()
        self._engines.clear()


@contextmanager
def _weights_as_asked() -> Iterator[None]:
    """Raises InvalidRun where the model was changed and not put back, or not changed: figures would be of another."""
    try:
        yield
    except WeightsNotRemoved as error:
        words = f"weights/removed: {error}; look at what puts a region's mask in force"
        raise InvalidRun("weights/removed", words) from error
    except (WeightsNotRestored, ModelIsAnother) as error:
        raise InvalidRun("weights/left-as-found", f"weights/left-as-found: {error}; run it again") from error
