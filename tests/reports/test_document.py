"""Tables of Markdown and their places in a document."""

import pytest

from harness.errors import UserError
from harness.reports import document
from harness.reports.document import Place, cell_text, markdown_table

PLACE = Place("the table", "<!-- a -->", "<!-- b -->", "document.md")


@pytest.fixture(autouse=True)
def documents(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "DOCUMENTS", tmp_path)


def test_what_is_put_takes_the_place_of_the_one_before_and_nothing_else(tmp_path):
    path = tmp_path / "document.md"
    path.write_text("head\n\n<!-- a -->\nold\n<!-- b -->\n\ntail\n")
    for _ in range(2):
        PLACE.put("new")
    assert path.read_text() == "head\n\n<!-- a -->\n\nnew\n\n<!-- b -->\n\ntail\n"
    assert PLACE.differences("new") == []
    difference = PLACE.differences("newer")
    assert "-new" in difference and "+newer" in difference


def test_a_document_without_the_marks_is_named_with_them(tmp_path):
    path = tmp_path / "document.md"
    path.write_text("<!-- a -->\n")
    with pytest.raises(UserError, match="the table goes between the lines '<!-- a -->' and '<!-- b -->'; add them"):
        PLACE.put("new")
    with pytest.raises(UserError, match="run this from a checkout"):
        Place("the table", "a", "b", "gone.md").put("new")


def test_cells_hold_text():
    assert cell_text("a|b\n<script>\u202e") == "a\\|b &lt;script>⟨U+202E⟩"
    assert markdown_table(("x", "y"), [("1", "a|b")]) == "| x | y |\n|---|---|\n| 1 | a\\|b |"
