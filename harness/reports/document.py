"""Tables of Markdown, and their places in pages of docs/: between two marks, made anew and never by hand."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.runs.files import write_text
from harness.shown import passed_on

#: The documentation of a checkout; a wheel has none.
DOCUMENTS = Path(__file__).parents[2] / "docs"

#: Marks of Markdown that begin a link, a picture, code, or another cell.
_MARKS = re.compile(r"[\\`\[\]|]")


@dataclass(frozen=True)
class Place:
    """Where something made stands. what: it, in words; begin, end: the lines around it; page: below docs/."""

    what: str
    begin: str
    end: str
    page: str

    @property
    def document(self) -> Path:
        """The file that it stands in."""
        return DOCUMENTS / self.page

    def put(self, content: str) -> None:
        """Put content between the two marks. Raises UserError where the document lacks them."""
        write_text(self.document, self._with(content))

    def differences(self, content: str) -> list[str]:
        """The lines of a unified diff from the document to what `put` would make of it; none if it is up to date."""
        document = self.document
        now, wanted = document_text(document).splitlines(), self._with(content).splitlines()
        return list(difflib.unified_diff(now, wanted, document.name, f"{document.name}, made anew", lineterm=""))

    def _with(self, content: str) -> str:
        document = self.document
        before, begin, rest = document_text(document).partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise UserError(
                f"{document.name}: {self.what} goes between the lines {self.begin!r} and {self.end!r}; add them"
            )
        return f"{before}{self.begin}\n\n{content}\n\n{self.end}{after}"


def document_text(document: Path) -> str:
    """A document of the checkout. Raises UserError where the package has none beside it."""
    try:
        return document.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{document.name}: no such file beside the package; run this from a checkout") from None


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what stands in its cells is text, whatever is in it."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(cell_text, row)) + " |" for row in rows)])


def cell_text(text: str) -> str:
    """Text in one cell of a table: on one line, without a mark that ends the cell or opens an element or a link."""
    return _MARKS.sub(r"\\\g<0>", passed_on(text)).replace("<", "&lt;").replace("\n", " ")
