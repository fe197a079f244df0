"""A page as a reader has it: tables with their headings, and figures, read from the HTML alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from harness.reports.read_back.drawn import Figure, Reader

#: Classes of what stands beside a number: its interval, and that it is invalid.
_BESIDE = {"span": "dim", "strong": "no"}


@dataclass
class Entry:
    """One cell of a table. href: of the first link in it; interval, invalid: what stands beside its text."""

    classes: frozenset[str]
    text: str = ""
    href: str | None = None
    interval: str = ""
    invalid: bool = False

    @property
    def words(self) -> str:
        """Its text, on one line."""
        return " ".join(self.text.split())


@dataclass
class Table:
    """page, about: ids of the page, and of the part about one cell, around it. label: what it is called."""

    page: str
    about: str | None
    label: str
    caption: str = ""
    head: list[list[Entry]] = field(default_factory=list)
    body: list[list[Entry]] = field(default_factory=list)


class Parsed(HTMLParser):
    """The tables and figures of a report."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.figures: list[Figure] = []
        self._page, self._about, self._label = "", None, ""  # type: str, str | None, str
        self._in_head = self._in_caption = False
        self._drawn: Reader | None = None
        self._entry: Entry | None = None
        self._beside: str | None = None
        self.feed(str(html))  # of markup every piece would be markup, which is escaped again where it is shown
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Places, tables and their entries, links, figures."""
        told = {name: value or "" for name, value in attrs}
        classes = frozenset(told.get("class", "").split())
        if self._drawn is not None:
            self._drawn.start(tag, told, classes)
        elif tag == "svg":
            self._drawn = Reader(self._page)
            self.figures.append(self._drawn.figure)
        elif tag == "section":
            self._page, self._about = told.get("id", ""), None
        elif tag == "div" and "about" in classes:
            self._about = told.get("id")
        elif tag == "div" and "scroll" in classes:
            self._label = told.get("aria-label", "")
        elif tag == "table":
            self.tables.append(Table(self._page, self._about, self._label))
        elif self.tables:
            self._within_table(tag, told, classes)

    def _within_table(self, tag: str, told: dict[str, str], classes: frozenset[str]) -> None:
        table = self.tables[-1]
        if tag in ("thead", "tbody"):
            self._in_head = tag == "thead"
        elif tag == "caption":
            self._in_caption = True
        elif tag == "tr":
            (table.head if self._in_head else table.body).append([])
        elif tag in ("th", "td"):
            rows = table.head if self._in_head else table.body
            self._entry = Entry(classes)
            if rows:
                rows[-1].append(self._entry)
        elif tag == "a" and self._entry is not None and self._entry.href is None:
            self._entry.href = told.get("href")
        elif self._entry is not None and _BESIDE.get(tag) in classes:
            self._beside = tag

    def handle_endtag(self, tag: str) -> None:
        """The end of an entry, of what stands beside a number, and of a figure."""
        if tag == "svg":
            self._drawn = None
        elif self._drawn is not None:
            self._drawn.end(tag)
        elif tag in ("th", "td"):
            self._entry = self._beside = None
        elif tag == self._beside:
            self._beside = None
        elif tag == "caption":
            self._in_caption = False

    def handle_data(self, data: str) -> None:
        """Text, to where it belongs."""
        if self._drawn is not None:
            self._drawn.words(data)
        elif self._in_caption and self.tables:
            self.tables[-1].caption += data
        elif self._entry is not None:
            if self._beside == "span":
                self._entry.interval += data
            elif self._beside == "strong":
                self._entry.invalid = True
            else:
                self._entry.text += data

    def handle_comment(self, data: str) -> None:
        """The words of a text of a figure."""
        if self._drawn is not None:
            self._drawn.comment(data)
