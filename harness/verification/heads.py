"""Figures of probed attention heads, from the validation prompts that each head's probe tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.spec.measurement import Measurement, RawValues
from harness.spec.result import CellResult
from harness.verification.rates import Figure, share_of, share_over_groups

#: An accuracy that counts as high, as the metric's name says.
_HIGH = 0.95
#: Validation prompts, of which a probe has some hundreds.
_MOST = 100_000
Rows = Sequence[RawValues]


def places(entry: Any, cell: CellResult, every: Rows, counted: object) -> Iterable[tuple[str, int]]:
    """Every head of every block, as far as any cell goes."""
    numbers = [_numbers(row.part) for row in every if _numbers(row.part) is not None]
    blocks, heads = (range(max((pair[side] for pair in numbers if pair), default=0) + 1) for side in (0, 1))
    return ((f"model.layers.{block}.self_attn/head.{head}", 0) for block in blocks for head in heads)


def _numbers(part: str) -> tuple[int, int] | None:
    """Of block and head."""
    block, _, head = part.removeprefix("model.layers.").partition(".self_attn/head.")
    return (int(block), int(head)) if block.isdigit() and head.isdigit() else None


def problem(entry: Any, row: RawValues) -> str | None:
    """Numbers of validation prompts, each once."""
    n = row.n or 0
    each_once = len({*row.right}) == len(row.right) and all(0 <= number < n for number in row.right)
    return None if 0 < n <= _MOST and each_once else f"numbers of {n} prompts, {_MOST} at most, each once at most"


def accuracies(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """Of each head; the lowest, the mean over prompts with one outcome for each head, and the share of high ones."""
    n = rows[0].n or 0
    told = {row.part: {*row.right} for row in rows}
    outcomes = {part: [prompt in own for prompt in range(n)] for part, own in told.items()}
    rates = {part: share_of(own) for part, own in outcomes.items()}
    lowest = min(rates.values(), key=lambda rate: rate.value)
    mean = share_over_groups([list(heads) for heads in zip(*outcomes.values(), strict=True)])
    high = share_of([rate.value > _HIGH for rate in rates.values()])
    return [
        Figure(f"{entry.name}_minimum_accuracy", lowest.value, lowest.n, lowest.error),
        mean.figure(f"{entry.name}_mean_accuracy"),
        high.figure(f"{entry.name}_share_of_heads_above_{_HIGH}"),
        *(rate.figure(f"{entry.name}_accuracy/{part}") for part, rate in rates.items()),
    ]
