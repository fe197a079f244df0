"""Fault 17: the list of refusal phrases lost its second half."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.seam import replaced

NUMBER = 17
TITLE = "Refusal list cut short"
CAUGHT_BY = ("scorer/published-scorer",)
CELLS = ("planted",)


@contextmanager
def injected() -> Iterator[None]:
    """Within it the published scorer is another one."""
    with replaced("harness.formulas.metrics:PUBLISHED_REFUSAL_PHRASES", lambda phrases: phrases[: len(phrases) // 2]):
        yield
