"""A report held against its records, before it is written."""

from __future__ import annotations

from collections.abc import Mapping

from harness.reports.read_back.known import Known, Misreported
from harness.reports.read_back.parsed import Parsed
from harness.reports.read_back.points import of_figure
from harness.reports.read_back.tables import of_table
from harness.spec.result import RunRecord


def check_shown(html: str, records: Mapping[str, RunRecord]) -> None:
    """Raises Misreported with the first figures that are others than the records have. records: by anchor of page.

    Tables are read, what points of figures say, and where they are drawn.
    """
    parsed, known = Parsed(html), {page: Known(record) for page, record in records.items()}
    found = [words for table in parsed.tables if table.page in known for words in of_table(table, known[table.page])]
    found += [words for each in parsed.figures if each.page in known for words in of_figure(each, known[each.page])]
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise Misreported(f"the report shows other figures than its records have: {'; '.join(found[:3])}{more}")
