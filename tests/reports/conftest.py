"""Small records made by hand."""

import pytest

from harness.spec.measurement import Measurement
from harness.spec.provenance import Arithmetic, Provenance
from harness.spec.result import CellResult, Check, ClaimResult, RunRecord, Verdict

FACTS = Provenance(
    started="a",
    finished="2026-01-01",
    command="harness run b --model tiny",
    git_commit=None,
    git_dirty=None,
    source_sha256="s",
    packages={},
    python="3",
    platform="p",
    processor="c",
    threads=1,
    processes=1,
    accelerator=None,
    arithmetic=Arithmetic(
        cpu_capability="AVX2",
        blas="mkl",
        lapack="mkl",
        onednn=True,
        float32_products="highest",
        denormals="kept",
        limits={"MKL_CBWR": "AVX2"},
    ),
    image_digest=None,
    model_sha256="m",
    tokenizer_sha256="t",
    data_sha256={},
)
#: A comparison with a golden value that does not hold.
FAILED = {
    "cell": "planted",
    "metric": "asr_vanilla",
    "measured": 0.41,
    "golden": 0.97,
    "difference": -0.56,
    "tolerance": 0.04,
    "basis": "binomial",
    "source": "run 0",
    "status": "failed",
    "message": "asr_vanilla is 0.41",
}


@pytest.fixture
def make_cell():
    """make_cell(id, group, {"asr_vanilla": 0.5}, invalid=("asr_vanilla",), parameters={...})."""

    def make(cell_id, group, values, invalid=(), parameters=None, **fields):
        measurements = tuple(
            Measurement(
                metric=metric,
                value=value,
                n=100,
                interval=None if value is None else (value - 0.1, value + 0.1),
                valid=metric not in invalid,
            )
            for metric, value in values.items()
        )
        return CellResult(
            id=cell_id,
            group=group,
            title=group.capitalize(),
            parameters=parameters or {},
            measurements=measurements,
            **{
                "receipt": None,
                "completion_classes": {},
                "invalid_is_expected": None,
                "completions_sha256": "",
                "seconds": 1.0,
            }
            | fields,
        )

    return make


@pytest.fixture
def make_record():
    """make_record(cells, groups): groups are the cell groups of the spec."""

    def make(cells, groups=(), layout=None, benchmark="b", checks=(), claims=()):
        source = {"work": "Somebody 2024", "figure": "9z", "section": "4.1"}
        return RunRecord(
            id=f"tiny/{benchmark}/1",
            spec={"id": benchmark, "title": "B", "source": source, "cells": list(groups), "layout": layout},
            variant={"name": "tiny", "title": "Tiny"},
            provenance=FACTS,
            validity_thresholds={},
            cells=tuple(cells),
            checks=tuple(
                Check(
                    **{
                        "measured": None,
                        "golden": None,
                        "difference": None,
                        "tolerance": None,
                        "basis": None,
                        "source": None,
                        "status": "passed",
                        "message": "",
                    }
                    | check
                )
                for check in checks
            ),
            claims=tuple(ClaimResult(section="1", says="It does.", evidence="none", **claim) for claim in claims),
            verdict=Verdict(status="passed", exit_code=0),
        )

    return make


@pytest.fixture
def golden_folder(tmp_path):
    """golden_folder(variant, benchmark, [(cell, metric, value, publication or None)]): path of a new golden file."""

    def write(variant, benchmark, values):
        path = tmp_path / "golden" / variant / f"{benchmark}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f"- {{cell: {cell}, metric: {metric}, value: {value}, tolerance: {{width: 0.1, basis: binomial}}, "
            f"source: {{{f'publication: {source!r}' if source else 'record: ours'}}}}}"
            for cell, metric, value, source in values
        ]
        path.write_text("\n".join([f"variant: {variant}", f"benchmark: {benchmark}", "values:", *lines]) + "\n")
        return path

    return write
