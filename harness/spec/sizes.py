"""Sizes: the largest numbers that a variant asks of any benchmark, where a CPU would take days."""

from __future__ import annotations

from pydantic import Field

from harness.spec.common import Declared


class Sizes(Declared):
    """A spec's number stands where it is smaller, or where none is given here.

    prompts: of every evaluation that has texts written. samples_each: of a prompt that is sampled.
    calibration_samples: pairs of each calibration set. items: of each zero-shot task. windows: of a text's perplexity.
    """

    prompts: int | None = Field(default=None, gt=0)
    samples_each: int | None = Field(default=None, gt=1)
    calibration_samples: int | None = Field(default=None, gt=0)
    items: int | None = Field(default=None, gt=0)
    windows: int | None = Field(default=None, gt=1)
