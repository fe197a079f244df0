"""A figure that a report shows under another cell, or otherwise than the record has it."""

from dataclasses import replace

import pytest

from harness.faults.seam import replaced
from harness.reports.html import write_report
from harness.reports.read_back.known import Misreported
from harness.runs.journal import Journal
from harness.spec.receipt import EditReceipt, TruthComparison

METRICS = {"asr_vanilla": 0.25, "accuracy_mean": 0.5, "perplexity": 8.0}


def edit(sparsity):
    return EditReceipt(
        weights_total=100,
        weights_selected=round(100 * sparsity),
        sparsity=sparsity,
        mask_sha256=f"{round(1000 * sparsity):064d}",
        fingerprint_before="a",
        fingerprint_edited="b",
        fingerprint_restored="a",
        truth=TruthComparison(selected=10, planted=10, both=5, precision=sparsity, recall=sparsity),
    )


def cells(make_cell):
    """Three cells of which no figure is another's."""
    return [
        make_cell("intact", "intact", METRICS),
        *(
            make_cell(
                f"top_fraction{share}",
                "top",
                {name: value + share for name, value in METRICS.items()},
                parameters={"fraction": share},
                receipt=edit(share),
            )
            for share in (0.1, 0.2)
        ),
    ]


@pytest.fixture(params=["grid-table", "asr-against-accuracy"])
def shown(request, tmp_path, make_cell, make_record):
    """Writes the report of a record that is drawn by a layout."""
    record = make_record(cells(make_cell))
    record = record.model_copy(update={"spec": {**record.spec, "layout": request.param}})
    Journal(tmp_path / "v" / "b" / "1").write_record(record)
    return lambda: write_report(tmp_path, tmp_path / "report.html", golden_paths=())


def test_without_a_fault_it_is_written(shown):
    assert shown().is_file()


def of_the_next(right):
    """Cells with the figures of the next one."""

    def made(record):
        found = right(record)
        figures = [cell.measurements for cell in found.cells]
        pairs = zip(found.cells, [*figures[1:], *figures[:1]], strict=True)
        return replace(found, cells=tuple(replace(cell, measurements=own) for cell, own in pairs))

    return made


def test_a_figure_of_the_layout_under_another_cell_is_an_error_that_names_it(shown, request):
    layout = request.node.callspec.params["shown"].replace("-", "_")
    target = f"harness.reports.layouts.{layout}:results_of_run"
    with replaced(target, of_the_next), pytest.raises(Misreported, match=r"asr vanilla of intact is 0\.350"):
        shown()


def another_cells(right):
    return lambda self, cell: right(self, self.record.cells[self.record.cells.index(cell) - 1])


def a_tenth_more(right):
    return lambda value: right(value + 0.1)


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        ("harness.reports.pages:Page.measured", another_cells, r"asr vanilla of intact is 0\.450"),
        (
            "harness.reports.text:rounded",
            lambda right: lambda value: right(value + 0.1),
            "asr vanilla of intact is 0.3",
        ),
    ],
    ids=["table of cells", "rounded"],
)
def test_what_a_table_shows_otherwise_is_an_error_that_names_it(shown, target, wrong, words):
    with replaced(target, wrong), pytest.raises(Misreported, match=words):
        shown()


def test_a_table_of_many_metrics_is_read_by_its_heads(tmp_path, make_cell, make_record):
    many = {f"figure_{number}_mean": number / 10 for number in range(12)}
    made = [make_cell(name, name, {k: v + more for k, v in many.items()}) for name, more in (("one", 0), ("two", 5))]
    Journal(tmp_path / "v" / "b" / "1").write_record(make_record(made))
    assert write_report(tmp_path, tmp_path / "report.html", golden_paths=()).is_file()

    def the_others(right):
        return lambda self, metric: right(made[self.id == "one"], metric)

    with (
        replaced("harness.spec.result:CellResult.measurement", the_others),
        pytest.raises(Misreported, match=r"figure 0 mean of one is 5\.000 .*; the record has 0"),
    ):
        write_report(tmp_path, tmp_path / "report.html", golden_paths=())


def test_two_metrics_that_are_shown_by_one_name_are_told_apart_by_no_reader(tmp_path, make_cell, make_record):
    """A stranger's record: what a cell lacks under one of them is no figure that got lost."""
    record = make_record(
        [make_cell("intact", "intact", METRICS), make_cell("edited", "edited", {"asr__vanilla": 0.75})]
    )
    Journal(tmp_path / "v" / "b" / "1").write_record(record)
    assert write_report(tmp_path, tmp_path / "report.html", golden_paths=()).is_file()
