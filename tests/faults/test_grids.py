"""Values of a grid that are filed under each other's cells, wherever they change places."""

from dataclasses import replace

import pytest

from harness.faults.seam import replaced
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: grids
title: Cells that differ in values of a grid
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: top
    title: Top
    region: {select: top, method: wanda, data: safety}
    grid: {fraction: [0.02, 0.04]}
  - id: difference
    title: Difference
    region: {select: set-difference, method: wanda, safety: safety, utility: utility}
    grid: [{p: 0.03, q: 0.05}, {p: 0.04, q: 0.06}]
  - {id: ranks, title: Ranks, region: {select: act-svd, data: safety}, grid: {rank: [1, 3]}}
  - id: full
    title: Full
    fine_tuning: {method: full, dataset: utility, examples: 4, epochs: 1, learning_rate: 0.001, batch_size: 4,
                  frozen: {select: top, method: wanda, data: safety, fraction: 0.03}}
    grid: {fine_tuning.frozen.fraction: [0.02, 0.04]}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


def said(tmp_path, group):
    """The verdict on the intact model and one group of cells, and its reasons."""
    record, _ = run_in_process(bound_on("tiny-llama2-chat", tmp_path, SPEC, {group}), tmp_path / "runs")
    return record.verdict.status, " ".join(record.verdict.reasons)


@pytest.mark.parametrize("group", ["top", "difference", "ranks", "full"])
def test_without_a_fault_they_pass(tmp_path, group):
    assert said(tmp_path, group) == ("passed", "")


def of_the_other_point(right):
    """Each id with the settings of another point of its grid."""

    def declared(self, point):
        points = self.points()
        other = right(self, points[-1 - points.index(point)])
        return {**other, **{key: right(self, point)[key] for key in ("id", "parameters")}}

    return declared


@pytest.mark.parametrize("group", ["top", "difference", "ranks", "full"])
def test_settings_of_another_point_are_caught_and_named(tmp_path, group):
    with replaced("harness.spec.cell:CellGroup.declaration", of_the_other_point):
        status, reasons = said(tmp_path, group)
    assert status == "invalid"
    assert f"cell what was measured of {group}_" in reasons


def measured_for_each_other(right):
    """What is measured of the one goes on as the other's."""

    def measure(bench, learned, job):
        cells = [cell for cell in bench.bound.cells if cell.group == "top"]
        if job.cell not in cells:
            return right(bench, learned, job)
        other = right(bench, learned, replace(job, cell=cells[1 - cells.index(job.cell)]))
        own = {"id": job.cell.id, "parameters": job.cell.parameters}
        return replace(other, result=other.result.model_copy(update=own))

    return measure


def test_cells_that_go_on_under_each_others_names_are_caught_and_named(tmp_path):
    with replaced("harness.runs.workbench:measure_cell", measured_for_each_other):
        status, reasons = said(tmp_path, "top")
    assert status == "invalid"
    assert "cell what was measured of top_fraction0.0" in reasons


def with_the_values_of_two_keys_swapped(right):
    return lambda self: [dict(zip(point, [*point.values()][::-1], strict=True)) for point in right(self)]


def test_values_under_each_others_keys_are_caught_and_named(tmp_path):
    with replaced("harness.spec.cell:CellGroup.points", with_the_values_of_two_keys_swapped):
        status, reasons = said(tmp_path, "difference")
    assert status == "invalid"
    assert "cell difference_p0.03_q0.05 of the run" in reasons


def found_for_the_other(right):
    """The region that is removed is another point's, whatever the cell says that it asked for."""

    def find(self, region, *rest):
        other = {0.02: 0.04, 0.04: 0.02}[region.fraction]
        return right(self, region.model_copy(update={"fraction": other}), *rest)

    return find


def test_a_region_of_another_point_is_caught_and_named(tmp_path):
    with replaced("harness.runs.regions:RegionFinder.find", found_for_the_other):
        status, reasons = said(tmp_path, "top")
    assert status == "invalid"
    assert "mask/selection" in reasons
