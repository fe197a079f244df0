"""The names of places in the report: every page, every cell."""

from __future__ import annotations

from harness.spec.result import RunRecord


def page_anchor(record: RunRecord) -> str:
    """The page of a record, the only one of its benchmark and variant."""
    return f"{record.spec['id']}--{record.variant['name']}"


def cell_anchor(record: RunRecord, cell_id: str) -> str:
    """All that the record's page tells of one cell."""
    return f"{page_anchor(record)}--{cell_id}"
