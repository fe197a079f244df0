"""What a cell was asked to be, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.regions import base as regions
from harness.spec.region import region_kinds

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
    found = _region(region)
    return None if found is None else found.share


def region_words(region: Declared, spec: Declared) -> str:
    """Which weights or ranks a region declares; a record may be of a kind or a method that is not here."""
    found = _region(region)
    return f"the region {region['select']}" if found is None else found.words(spec)


def _region(region: Declared) -> regions.Region | None:
    kind = region_kinds().get(region["select"])
    if kind is None:
        return None
    try:
        return regions.region(kind.model_validate(dict(region)))
    except ValidationError:  # of a method that is not installed here: its record is told all the same
        if any(isinstance(value, Mapping) for value in region.values()):
            return None
        return regions.region(kind.model_construct(**region))
