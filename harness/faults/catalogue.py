"""All faults: those that the modules of the stages declare, by their numbers."""

from __future__ import annotations

from harness import plugins
from harness.errors import UserError
from harness.faults import (
    data,
    decoding,
    engine,
    figures,
    golden,
    inside,
    judgement,
    loading,
    mask,
    prompts,
    scores,
    tuning,
    weights,
)
from harness.faults.base import Fault

_STAGES = (loading, data, prompts, scores, mask, weights, tuning, engine, decoding, figures, inside, judgement, golden)
#: Every fault, by its number and then its id.
FAULTS = tuple(sorted((fault for stage in _STAGES for fault in stage.FAULTS), key=lambda each: (each.number, each.id)))


def find_fault(name: str) -> Fault:
    """The fault of that id; dashes may stand for its underscores. Raises UserError with a suggestion."""
    known = {fault.id: fault for fault in FAULTS}
    wanted = name.replace("-", "_")
    if wanted not in known:
        raise UserError(f"no fault is called {name!r}; {plugins.suggestion(wanted, known)}")
    return known[wanted]
