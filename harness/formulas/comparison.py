"""Is a measured value within its tolerance? Two-sided, never rounded, and NaN is never within."""

from __future__ import annotations

import math


def within_tolerance(measured: float | None, golden: float, width: float) -> bool:
    """|measured - golden| <= width. None and NaN are not within any width.

    Both sides are decimal numbers in files, so that a difference equal to the width on paper may be
    larger by rounding in binary: one part in 10^12 of the larger number is allowed for that.
    """
    if measured is None or not math.isfinite(measured):
        return False
    return abs(measured - golden) <= width + 1e-12 * max(abs(measured), abs(golden))
