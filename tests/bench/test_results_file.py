"""The result file, and what docs/results/speed.md says of it."""

import re

import pytest

from bench import results_file
from bench.random_llamas import Sizes
from bench.results_file import DOCUMENT, RESULTS, Timing
from harness.errors import UserError


def test_a_row_holds_medians_and_ratios_of_medians():
    timing = Timing(8, "SNIP", [1.0, 9.0, 2.0], [4.0, 4.0, 4.0], [0.5, 2.5, 3.0], [50.0, 40.0, 60.0])
    assert timing.cells() == ["8", "SNIP", "2.00", "4.00", "2.50", "1.2", "50.00", "20.0", "10.0"]


def test_a_result_file_comes_back_whole(tmp_path):
    machine, sizes = results_file.machine(), Sizes().as_dict()
    assert machine["processor"] and machine["cores"] and machine["threads"] and machine["torch"]
    timings = [Timing(8, "SNIP", [1.0], [2.0], [3.0], [4.0])]
    results_file.write(tmp_path / "results.json", machine, sizes, timings)
    assert results_file.read(tmp_path / "results.json") == (machine, sizes, timings)


def test_the_documented_figures_are_those_of_a_result_file():
    text = DOCUMENT.read_text(encoding="utf-8")
    named = re.findall(r"^`bench/results/(\S+\.json)`", text, flags=re.MULTILINE)
    assert len(named) == 1
    assert results_file.markdown(RESULTS / named[0]) in text


def test_new_figures_take_the_place_of_the_old_ones(tmp_path):
    results = tmp_path / "new.json"
    results_file.write(
        results, results_file.machine(), Sizes().as_dict(), [Timing(8, "SNIP", [1.0], [2.0], [3.0], [4.0])]
    )
    document = tmp_path / "document.md"
    document.write_text("Before\n\n`bench/results/old.json`: it\n\n| a |\n|---|\n| 1 |\n\nAfter\n")
    results_file.update_document(results, document)
    assert document.read_text() == f"Before\n\n{results_file.markdown(results)}\n\nAfter\n"
    document.write_text("none")
    with pytest.raises(UserError, match="no line begins"):
        results_file.update_document(results, document)
