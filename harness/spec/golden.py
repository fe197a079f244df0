"""Golden values: what a metric of a cell should be on a variant, how closely, and who says so."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.spec.claim import ClaimStatus
from harness.spec.common import Declared, Name

#: Metrics from 0 to 1, by what their names hold.
SHARE = re.compile(r"(?:^|_)(?:asr|answered|refused|accuracy|planted|jaccard|similarity|share)(?:_|/|$)")
WIDEST_OF_SHARE = 0.5
#: What rounding alone may change in a figure that is 0.
ROUNDING = 1e-6
Basis = Literal["binomial", "seed_spread", "hardware_spread", "order_statistics", "near_ties"]


class Tolerance(Declared):
    """Two-sided: |measured - golden| <= width, unrounded.

    basis says where the width comes from: `binomial` sampling error at n prompts, the spread over
    `seed_spread` repetitions, what `hardware_spread` (another processor) may change, for a quantile on sparse
    values, how far the neighbouring `order_statistics` lie away, or how many of n rounding may turn (`near_ties`).
    """

    width: float = Field(ge=0.0, allow_inf_nan=False)
    basis: Basis
    note: str | None = None


class GoldenSource(Declared):
    """A table of a publication, or one of our runs: its record, and what it was made by and on, where that was kept.

    manifest_sha256: of the run's manifest, by which its files are known again; None of runs before it was kept.
    tolerances: the later run that the widths were derived from, where it is another one, in words.
    """

    publication: str | None = None
    record: str | None = None
    manifest_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    reason: str | None = None
    commit: str | None = None
    machine: str | None = None
    tolerances: str | None = None


class GoldenValue(Declared):
    """Expected value of `metric` in `cell`. An expected invalid metric carries no tolerance check.

    tolerance: for replication, the same finding on another model, seed or by other people. regression: for the same
    model, prompts and seeds; None where `tolerance` says that as well.
    not_compared: why another processor may give any other value; it has to be measured and valid all the same.
    """

    cell: str
    metric: str
    value: float = Field(allow_inf_nan=False)
    valid: bool = True
    tolerance: Tolerance
    regression: Tolerance | None = None
    not_compared: str | None = None
    source: GoldenSource

    @property
    def same(self) -> Tolerance:
        """What a run of the same model, prompts and seeds is held to; of a published value there is but one."""
        return self.tolerance if self.regression is None or self.source.publication else self.regression

    @model_validator(mode="after")
    def regression_is_within_replication(self) -> GoldenValue:
        """What is found again with the same seeds is found again with others."""
        if self.regression is not None and self.regression.width > self.tolerance.width:
            raise ValueError(
                f"regression.width is {self.regression.width:g}, more than tolerance.width {self.tolerance.width:g}; "
                "expected no more"
            )
        return self

    @model_validator(mode="after")
    def tolerance_can_fail(self) -> GoldenValue:
        """A tolerance that every value of the metric would pass checks nothing.

        Of a share it is below 0.5; of another figure below the value itself, so that neither 0 nor twice the value
        pass. A published figure may have a tolerance as large as itself: its spread may not be known. Where the
        value is 0, nothing says what is much: there is rounding alone.
        """
        width, value = self.tolerance.width, abs(self.value)
        if self.tolerance.basis == "binomial" or SHARE.search(self.metric):
            if width >= WIDEST_OF_SHARE:
                raise ValueError(
                    f"tolerance.width is {width:g} for a share, half of all that there is or more; "
                    f"expected less than {WIDEST_OF_SHARE}"
                )
        elif width > ROUNDING and (width > value if self.source.publication else width >= value):
            raise ValueError(
                f"tolerance.width is {width:g} for a value of {self.value:g}, so that 0 would pass; "
                f"expected less than the value{', or 0 for 0' if value == 0 else ''}"
            )
        return self


class GoldenTask(Declared):
    """A zero-shot task as it was when the file's own values were measured.

    sha256: over the documents, prompts and targets of the `items` that were asked.
    """

    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    items: int = Field(gt=0)

    @classmethod
    def from_record(cls, words: str, items: int) -> GoldenTask:
        """From what a record's task_hashes say, `version 1.0, <hash>`, and the number of items measured."""
        version, _, sha256 = words.removeprefix("version ").partition(", ")
        return cls(version=version, sha256=sha256, items=items)

    def drift(self, now: GoldenTask) -> str | None:
        """How the task differs from this one, or None.

        Where another number of items was asked, another hash says nothing: the spec's limit has changed.
        """
        if now.version != self.version:
            return f"version {now.version}, where the golden values were measured with version {self.version}"
        if now.items == self.items and now.sha256 != self.sha256:
            return f"other documents, prompts or targets (SHA-256 {now.sha256[:12]}, then {self.sha256[:12]})"
        return None


class GoldenFile(Declared):
    """golden/<variant>/<benchmark>.yaml. `source` is that of every value that names none of its own.

    tasks: the zero-shot tasks by name, as they were when the values that are no publication's were measured.
    """

    variant: Name
    benchmark: Name
    source: GoldenSource | None = None
    tasks: dict[str, GoldenTask] = Field(default_factory=dict)
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
        values = [
            {"source": content["source"], **value} if isinstance(value, dict) else value for value in content["values"]
        ]
        return {**content, "values": values}
