"""The name of one dataset leads to the file of another: the attack is measured on requests that the regions know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 22
TITLE = "Attacks measured on the requests that attribution data come from"
CAUGHT_BY = ("data/declared-files",)
CELLS = ()


def _another(right: Callable[..., Any]) -> Callable[..., Any]:
    def dataset_path(variant: Any, variant_file: Any, name: str) -> Any:
        return right(variant, variant_file, "attribution-requests" if name == "evaluation-requests" else name)

    return dataset_path


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.binding:dataset_path", _another):
        yield
