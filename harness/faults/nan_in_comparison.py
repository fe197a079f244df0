"""A figure is NaN, and the comparison asks whether the difference is too large: of NaN it never is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.base import VALIDITY
from harness.faults.seam import replaced
from harness.spec.golden import GoldenFile

NUMBER = 21
TITLE = "NaN in a comparison"
CAUGHT_BY = (VALIDITY, "scorer/perplexity-figure")
CELLS = ()

GOLDEN = GoldenFile.model_validate(
    {
        "variant": "v",
        "benchmark": "faults",
        "source": {"record": "r"},
        "values": [
            {
                "cell": "intact",
                "metric": "perplexity",
                "value": 8.0,
                "tolerance": {"width": 1.0, "basis": "hardware_spread"},
            }
        ],
    }
)


@contextmanager
def injected() -> Iterator[None]:
    """The perplexity is NaN, and `not difference > width` takes the place of `difference <= width`."""
    with (
        replaced("harness.evaluations.perplexity:_exp", lambda right: lambda loss: math.nan),
        replaced("harness.runs.binding:load_golden", lambda right: lambda variant, benchmark: GOLDEN),
        replaced(
            "harness.runs.judgement:within_tolerance",
            lambda right: lambda measured, golden, width: not abs((measured or math.nan) - golden) > width,
        ),
    ):
        yield
