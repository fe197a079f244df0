"""Directions come out of the eigenproblem with the least important first, and the first ones are taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.seam import replaced
from harness.formulas.subspace import least_directions

NUMBER = 22
TITLE = "ActSVD removes the least important ranks in place of the most important ones"
CAUGHT_BY = ("mask/ranks",)
CELLS = ("act-svd-top",)


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.subspaces.factors:leading_directions", lambda _right: least_directions):
        yield
