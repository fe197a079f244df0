"""Is a measured value within its tolerance? Two-sided, never rounded, and NaN is never within."""

from __future__ import annotations

import math

#: Nats that may lie between two tokens at a near tie, by the model's dtype. In float32 sums in another order moved no
#: log-probability of the organisms by more than 1e-4 (harness/receipts/logits.py allows 1e-3 for each of two tokens);
#: in 16 bits a logit near 16 is itself rounded by 0.06 (bfloat16) or 0.008 (float16), and so is every sum before it.
NEAR_TIE_NATS = {"float32": 0.002, "bfloat16": 0.5, "float16": 0.0625}


def within_tolerance(measured: float | None, golden: float, width: float) -> bool:
    """|measured - golden| <= width. None and NaN are not within any width.

    Both sides are decimal numbers in files, so that a difference equal to the width on paper may be
    larger by rounding in binary: one part in 10^12 of the larger number is allowed for that.
    """
    if measured is None or not math.isfinite(measured):
        return False
    return abs(measured - golden) <= width + 1e-12 * max(abs(measured), abs(golden))
