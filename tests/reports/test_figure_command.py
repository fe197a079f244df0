"""`harness figure`: the figure of a record as a file of its own."""

from xml.etree import ElementTree

from click.testing import CliRunner

from harness.cli import main


def figure(tmp_path, record):
    (tmp_path / "record.json").write_text(record.model_dump_json())
    return CliRunner().invoke(main, ["figure", str(tmp_path / "record.json"), "--out", str(tmp_path / "f.svg")])


def cells(make_cell):
    return [make_cell("intact", "intact", {"asr_vanilla": 0.1, "accuracy_mean": 0.8})]


def test_the_figure_is_an_svg_file_that_stands_alone(tmp_path, make_cell, make_record):
    result = figure(
        tmp_path, make_record(cells(make_cell), [{"id": "intact", "title": "Intact"}], "asr-against-accuracy")
    )
    assert result.exit_code == 0, result.output
    root = ElementTree.parse(tmp_path / "f.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("style") == "background:white"
    assert "hollow where the attack success rate is invalid" in result.output


def test_a_record_without_a_figure_is_bad_input(tmp_path, make_cell, make_record):
    result = figure(tmp_path, make_record(cells(make_cell)))
    assert result.exit_code == 2
    assert "names no layout" in result.output
    assert not (tmp_path / "f.svg").exists()


def test_a_layout_that_makes_a_table_is_bad_input(tmp_path, make_cell, make_record):
    grid = [make_cell("a_p0.01", "a", {"asr_vanilla": 0.1, "accuracy_mean": 0.8}, parameters={"p": 0.01})]
    result = figure(tmp_path, make_record(grid, [{"id": "a", "title": "A"}], "grid-table"))
    assert result.exit_code == 2
    assert "a table and no figure" in result.output
