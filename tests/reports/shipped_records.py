"""Records with the figures of shipped golden files: of every layout, with the cells and metrics of a real run."""

from __future__ import annotations

from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec, CellGroup
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.measurement import Measurement
from harness.spec.receipt import FineTuningReceipt
from harness.spec.result import RunRecord, Verdict
from tests.by_hand import cell_result, provenance

#: One benchmark for each layout, and more of those that draw in more than one way.
BENCHMARKS = (
    "extension-drift",
    "extension-overlap",
    "figure-2b",
    "figure-3b",
    "figure-4b",
    "figure-9",
    "signed-snip",
    "table-3",
    "table-6",
)


def shipped_record(benchmark: str, most_cells: int = 30) -> RunRecord:
    """What the golden file of the organism in the manner of Llama 2 has; two of three figures with an interval."""
    specs = {path.stem: path for path in locations.benchmark_paths()}
    (golden,) = (
        path for path in locations.golden_paths() if path.parts[-2:] == ("tiny-llama2-chat", f"{benchmark}.yaml")
    )
    values = load_yaml_model(golden, GoldenFile).values
    spec = load_yaml_model(specs[benchmark], BenchmarkSpec).model_dump(mode="json")
    cells = []
    for group in map(CellGroup.model_validate, spec["cells"]):
        for declared in map(group.declaration, group.points()):
            own = [value for value in values if value.cell == declared["id"]]
            if own:
                cells.append(
                    cell_result(
                        declared["id"],
                        group=declared["group"],
                        title=group.title,
                        parameters=declared["parameters"],
                        measurements=tuple(_measured(number, value) for number, value in enumerate(own)),
                        fine_tuning=_tuned(declared["fine_tuning"]) if declared.get("fine_tuning") else None,
                    )
                )
    return RunRecord(
        id=f"tiny/{benchmark}/1",
        spec=spec,
        variant={"name": "tiny", "title": "Tiny"},
        provenance=provenance(),
        validity_thresholds={},
        cells=tuple(cells[:most_cells]),
        checks=(),
        claims=(),
        verdict=Verdict(status="passed", exit_code=0),
    )


def _measured(number, value):
    ends = None if value.value is None or number % 3 == 0 else (value.value - 0.03, value.value + 0.05)
    return Measurement(metric=value.metric, value=value.value, n=10 + number, interval=ends, valid=value.valid)


def _tuned(settings):
    return FineTuningReceipt(
        settings=settings,
        steps=1,
        examples=10,
        loss_first=None,
        loss_last=None,
        frozen_share_of_linear=0.05,
        frozen_share_of_all=0.04,
        frozen_mask_sha256=None,
        frozen_checked=1,
        frozen_changed=0,
        weights_trainable=1,
        moved_share=None,
        swallowed_share=None,
        fingerprint_before="b",
        fingerprint_after="a",
    )
