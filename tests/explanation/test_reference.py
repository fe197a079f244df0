"""The first departure from a reference record: both are records of real runs, with one thing changed between them."""

import json
import shutil

import pytest

import harness.regions._scored as regions
from harness.errors import UserError
from harness.explanation.recorded import RecordedRun
from harness.explanation.story import explain
from harness.organisms.catalogue import organism_directory
from harness.spec import locations

CELLS = ["intact", "short"]


def departure(run, reference, cell="short"):
    found = explain(run, run.cell(cell), reference)
    words = next((step.words for step in found.steps if step.name == found.departs), None)
    return found.departs, words


def test_a_record_does_not_depart_from_itself(destroyed):
    for cell in destroyed.record.cells:
        assert departure(destroyed, destroyed, cell.id) == (None, None)


def test_other_instructions_are_named_as_what_may_turn_last_digits(destroyed):
    facts = destroyed.record.provenance
    other = facts.arithmetic.model_copy(update={"cpu_capability": "ANOTHER"})
    record = destroyed.record.model_copy(update={"provenance": facts.model_copy(update={"arithmetic": other})})
    notes = explain(destroyed, destroyed.cell("short"), RecordedRun(destroyed.path, record)).notes
    assert any("also differ in instructions and libraries of arithmetic" in note for note in notes)
    assert not any("also differ" in note for note in explain(destroyed, destroyed.cell("short"), destroyed).notes)


def test_another_draw_from_the_calibration_data_departs_at_the_data(destroyed, run_cells):
    def drawn_otherwise(content):
        content["calibration"]["safety"]["seed"] = 1

    step, words = departure(run_cells("other-draw", CELLS, changed=drawn_otherwise), destroyed)
    assert step == "data"
    assert "calibration set 'safety'" in words


def test_another_comparison_departs_at_the_question(destroyed, run_cells):
    def by_row(content):
        content["cells"][1]["region"]["comparison_group"] = "row"

    step, words = departure(run_cells("by-row", CELLS, changed=by_row), destroyed)
    assert step == "question"
    assert "compared within rows" in words


def test_a_mask_that_was_turned_round_departs_at_the_mask(destroyed, run_cells, monkeypatch):
    right = regions.select

    def turned(*arguments):
        return {name: mask.flip(1) for name, mask in right(*arguments).items()}

    monkeypatch.setattr(regions, "select", turned)
    step, words = departure(run_cells("turned-mask", CELLS), destroyed)
    assert step == "mask"
    assert "as many weights, but others" in words


def test_another_tokenizer_departs_at_the_tokenizer(destroyed, run_cells, tmp_path):
    """The same weights and vocabulary, with a tokenizer that lacks one merge, as another revision might."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(organism_directory("tiny-llama3-instruct"), folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].remove(["h", "e"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    text = locations.find_variant("tiny-llama3-instruct").read_text()
    text = text.replace("organism: tiny-llama3-instruct", "path: .").replace("name: tiny-llama3", "name: other")
    (folder / "variant.yaml").write_text(text)
    step, words = departure(run_cells("other-tokenizer", CELLS, variant=folder), destroyed)
    assert step == "tokenizer"
    assert words.startswith("the tokenizer is ")


def test_a_reference_without_the_cell_is_bad_input(destroyed, run_cells):
    without = run_cells("without", ["intact"])
    with pytest.raises(UserError, match="no cell is called 'short'"):
        explain(destroyed, destroyed.cell("short"), without)
