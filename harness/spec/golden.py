"""Golden values: what a metric of a cell should be on a variant, how closely, and who says so."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

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
    """golden/<variant>/<benchmark>.yaml. `source` is that of every value that names none of its own."""

    variant: Name
    benchmark: Name
    source: GoldenSource | None = None
    values: tuple[GoldenValue, ...]
    claims: dict[str, ClaimStatus] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def values_have_the_source_of_the_file(cls, content: Any) -> Any:
        """Written once instead of beside each of hundreds of values."""
        if (
            not isinstance(content, dict)
            or content.get("source") is None
            or not isinstance(content.get("values"), list)
        ):
            return content
        values = [{"source": content["source"], **value} if isinstance(value, dict) else value
                  for value in content["values"]]  # fmt: skip
        return {**content, "values": values}
