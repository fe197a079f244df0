"""What a cell was asked to be, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.regions import base as regions

Declared = Mapping[str, Any]


def asked_for(declared: Declared, spec: Declared) -> str:
    """One sentence on what was done to the model.

    declared: the cell as its spec expands it, with `region` or `fine_tuning`. spec: of the record.
    """
    if region := declared.get("region"):
        return f"remove {region_words(region, spec)}"
    if tuning := declared.get("fine_tuning"):
        frozen = tuning.get("frozen")
        kept = f", {region_words(frozen, spec)} frozen" if frozen else ", nothing frozen"
        return f"fine-tune ({tuning.get('method')}) on {tuning.get('examples', 'all')} examples{kept}"
    return "leave the model as it is"


def share_asked_for(region: Declared) -> float | None:
    """The share of the weights that a region declares, where it does."""
    found = regions.recorded(region)
    return None if found is None else found.share


def region_words(region: Declared, spec: Declared) -> str:
    """Which weights or ranks a region declares; a record may be of a kind, a method or settings that are not here."""
    found = regions.recorded(region)
    try:
        told = None if found is None else found.words(spec)
    except ValidationError:  # of the spec's `attribution`, which a record holds as it was written
        told = None
    return f"the region {region['select']}" if told is None else told
