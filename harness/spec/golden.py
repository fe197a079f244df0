"""Golden values: what a metric of a cell should be on a variant, how closely, and who says so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.claim import ClaimStatus
from harness.spec.common import Name, Strict

Basis = Literal["binomial", "seed_spread", "hardware_spread"]


class Tolerance(Strict):
    """Two-sided: |measured - golden| <= width, unrounded.

    basis says where the width comes from: `binomial` sampling error at n prompts, the spread over
    `seed_spread` repetitions, or what `hardware_spread` (another processor) may change.
    """

    width: float = Field(ge=0.0, allow_inf_nan=False)
    basis: Basis
    note: str | None = None


class GoldenSource(Strict):
    """A table of a publication, or one of our runs."""

    publication: str | None = None
    record: str | None = None
    reason: str | None = None


class GoldenValue(Strict):
    """Expected value of `metric` in `cell`. An expected invalid metric carries no tolerance check."""

    cell: str
    metric: str
    value: float = Field(allow_inf_nan=False)
    valid: bool = True
    tolerance: Tolerance
    source: GoldenSource


class GoldenFile(Strict):
    """golden/<variant>/<benchmark>.yaml."""

    variant: Name
    benchmark: Name
    values: tuple[GoldenValue, ...]
    claims: dict[str, ClaimStatus] = Field(default_factory=dict)
