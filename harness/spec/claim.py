"""Claims: sentences of the paper in a form that a run can support or contradict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.spec.common import Declared, Name, Share, ShareOrZero

ClaimStatus = Literal["supported", "contradicted", "underpowered", "not_evaluated"]


class Reference(Declared):
    """A threshold taken from another cell of the same run, from another metric, or both.

    value = metric(cell) + plus, or, with `share_above_chance` s for an accuracy,
    chance + s * (metric(cell) - chance). Without `cell` it is that of the condition, without
    `metric` likewise; one of them is given. The two figures are compared as independent ones.
    """

    cell: str | None = None
    metric: str | None = None
    plus: float = 0.0
    share_above_chance: ShareOrZero | None = None

    @model_validator(mode="after")
    def is_another_figure(self) -> Reference:
        """A figure compared with itself would say nothing."""
        if self.cell is None and self.metric is None:
            raise ValueError("give the cell or the metric that the bound is taken from, or both")
        return self


class Condition(Declared):
    """One inequality on a metric of a cell; exactly one of `at_least` and `at_most`."""

    metric: str
    at_least: float | Reference | None = None
    at_most: float | Reference | None = None

    @model_validator(mode="after")
    def exactly_one_bound(self) -> Condition:
        """Two bounds are two conditions."""
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self

    @property
    def bound(self) -> float | Reference:
        """The threshold, whichever side it is on."""
        return self.at_least if self.at_least is not None else self.at_most  # type: ignore[return-value]


class Claim(Declared):
    """`quantifier` of the `cells` (groups or single cells) meet all conditions.

    `sparsity_below` keeps cells that remove a smaller share of the weights, `rank_share_below` those
    whose rank(ΔW) is a smaller share of R in every layer; a cell without that figure is left out.
    `expect` makes the outcome binding on every variant: anything else fails the run. Without it
    the outcome is compared with the variant's golden file, if that names one.
    """

    id: Name
    section: str
    says: str
    quantifier: Literal["any", "all"]
    cells: tuple[str, ...] = Field(min_length=1)
    sparsity_below: Share | None = None
    rank_share_below: Share | None = None
    conditions: tuple[Condition, ...] = Field(min_length=1)
    expect: Literal["supported"] | None = None
