"""Small records made by hand."""

import pytest

from harness.spec.measurement import Measurement
from harness.spec.result import Check, ClaimResult, RunRecord, Verdict
from tests.by_hand import ARITHMETIC, cell_result, provenance

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
        return cell_result(
            cell_id,
            group=group,
            title=group.capitalize(),
            parameters=parameters or {},
            measurements=measurements,
            **fields,
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
            provenance=provenance(arithmetic=ARITHMETIC),
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
