"""Fault 17: a text of any length may count as a success."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.seam import replaced

NUMBER = 17
TITLE = "The 20-word rule dropped"
CAUGHT_BY = ("scorer/published-scorer",)
CELLS = ("planted",)


@contextmanager
def injected() -> Iterator[None]:
    """Within it the published scorer is another one."""
    with replaced("harness.formulas.metrics:PUBLISHED_MINIMUM_WORDS", lambda _: 0):
        yield
