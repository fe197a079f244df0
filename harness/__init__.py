"""Reproducibility benchmark harness for the brittleness of safety alignment (Wei et al., ICML 2024).

The names of the Python API are imported when they are used first, so that `import harness` costs nothing:

    load, score, subspaces, select, removed    a model in memory
    run, explain, verify, RunRecord            benchmarks and their records
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api.benchmarks import explain, run, verify
    from harness.api.models import load, removed, score, select, subspaces
    from harness.spec.result import RunRecord

__version__ = "1.0.0"

_PLACES = {
    **dict.fromkeys(("load", "score", "subspaces", "select", "removed"), "harness.api.models"),
    **dict.fromkeys(("run", "explain", "verify"), "harness.api.benchmarks"),
    "RunRecord": "harness.spec.result",
}
__all__ = ["RunRecord", "__version__", "explain", "load", "removed", "run", "score", "select", "subspaces", "verify"]


def __getattr__(name: str) -> Any:
    """A public name, from its module."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _PLACES[name].startswith("harness.api."):
        from harness.runs.processes import start_tracker

        start_tracker()  # before a library starts it in the way that a hangup ends
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """What completion in a notebook shows."""
    return sorted([*globals(), *_PLACES])
