"""How far a figure may lie from its golden value: where the same is run again, and where the same finding is sought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import UserError
from harness.formulas.comparison import NEAR_TIE_NATS
from harness.formulas.statistics import binomial_tolerance
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import Basis, Tolerance
from harness.spec.manifest import completions_file, own_text
from harness.spec.measurement import Completion, Measurement
from harness.spec.result import CellResult, RunRecord

#: What another processor may change in a figure that is no share of prompts or items.
HARDWARE_RELATIVE = 0.02
#: So many of the things that a share counts may fall on the other side of a near tie.
FLIPPED = 3
#: Tolerance of a figure that is 0, or so small that rounding decides it.
SMALLEST_WIDTH = 1e-6
#: A sum over the intact model's outputs, such as a perplexity. Measured between instruction sets, and between a CPU and
#: a GPU with other versions: 1.6e-7 at most; other kernels may sum in yet another order.
SUM_OF_INTACT = 1e-5
#: The same of an edited model, where a weight at a near tie may be removed on one processor and not on another.
#: Measured between instruction sets over both organisms: 7.5e-4 at most, of 600 cells; four times that.
SUM_OF_EDITED = 3e-3
#: Near ties by (cell, metric); see `near_ties`.
NearTies = Mapping[tuple[str, str], int]


def near_ties(folder: Path, record: RunRecord, spec: BenchmarkSpec) -> dict[tuple[str, str], int]:
    """By (cell, metric) of greedy texts: for how many prompts rounding may turn the choice of a token.

    folder: of the record, whose files are what was written. Raises UserError where texts cannot be read.
    """
    limit = NEAR_TIE_NATS[str(record.variant["dtype"])]
    greedy = [entry for entry in spec.evaluations if entry.generates_texts and entry.temperature == 0]
    found: dict[tuple[str, str], int] = {}
    for cell in record.cells:
        prompts: dict[str, set[int]] = {}
        for text in _texts(folder, completions_file(cell.id)):
            if any(_is_near(choice[1], choice[3], limit) for choice in text.choices):
                prompts.setdefault(text.evaluation, set()).add(text.prompt_index)
        for entry in greedy:
            found |= {(cell.id, metric): len(prompts.get(entry.name, ())) for metric in entry.metrics}
    return found


def _texts(folder: Path, name: str) -> list[Completion]:
    # Not splitlines: a text may hold U+2028 and its like, which JSON leaves as they are.
    lines = [line for line in own_text(folder, name).split("\n") if line]
    try:
        return [Completion.model_validate_json(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{folder / name}: not the texts of a cell: {error}") from None


def _is_near(chosen: float | None, second: float | None, limit: float) -> bool:
    return chosen is not None and second is not None and chosen - second <= limit


def regression(cell: CellResult, measured: Measurement, ties: NearTies) -> Tolerance | None:
    """By how much the same model, prompts and seeds may give another figure; None where `replication` says just that.

    Of a share: as many prompts as have a near tie, `FLIPPED` of n at least, since what a mask or a sample's draw leaves
    to rounding is in no token's margin; never more than the sampling error. Of a sum over outputs: what was measured.
    What is trained, or counted over weights, already has what was measured between processors.
    """
    value = measured.value or 0.0
    if measured.standard_error is not None and 0.0 <= value <= 1.0:
        flipped = max(FLIPPED, ties.get((cell.id, measured.metric), 0))
        width = min(flipped / measured.n, replication(measured).width)
        return Tolerance(width=round(width, 6), basis="near_ties", note=f"{flipped} of {measured.n}")
    if measured.resolution is not None or measured.neighbours or cell.fine_tuning is not None:
        return None
    share = SUM_OF_INTACT if cell.receipt is None else SUM_OF_EDITED
    width = max(share * abs(value), SMALLEST_WIDTH)
    return Tolerance(width=float(f"{width:.3g}"), basis="hardware_spread", note=f"{share:g} of the value")


def _reach(measured: Measurement) -> float:
    """How far the neighbours of a quantile lie away; 0 of a figure that has none."""
    return max((abs(neighbour - (measured.value or 0.0)) for neighbour in measured.neighbours or ()), default=0.0)


def not_compared(measured: Measurement) -> str | None:
    """Why nothing is said of a quantile whose neighbour lies so far away that 0 would be within its tolerance."""
    value, reach = abs(measured.value or 0.0), _reach(measured)
    if reach <= max(SMALLEST_WIDTH, HARDWARE_RELATIVE * value) or reach + HARDWARE_RELATIVE * value < value:
        return None
    low, high = measured.neighbours or (0.0, 0.0)
    return f"next to a jump: one rank of {measured.n} away it is {low:.3g} or {high:.3g}"


def replication(measured: Measurement) -> Tolerance:
    """By how much another model, another seed or the paper may differ and still have found the same."""
    value = measured.value or 0.0
    if measured.standard_error is not None and 0.0 <= value <= 1.0:
        return Tolerance(
            width=round(binomial_tolerance(value, measured.n), 6), basis="binomial", note=f"n = {measured.n}"
        )
    basis: Basis = "hardware_spread"
    if measured.resolution is not None:
        width = max(abs(value) * HARDWARE_RELATIVE, FLIPPED * measured.resolution)
        return Tolerance(
            width=float(f"{width:.3g}"),
            basis=basis,
            note=f"{HARDWARE_RELATIVE:.0%} of the value, {FLIPPED} of n at least",
        )
    usual = HARDWARE_RELATIVE * abs(value)
    if usual < (reach := _reach(measured)) and reach + usual < abs(value):
        note = f"{HARDWARE_RELATIVE:.0%} of the value, and one rank of {measured.n}"
        return Tolerance(width=float(f"{reach + usual:.3g}"), basis="order_statistics", note=note)
    return Tolerance(
        width=float(f"{max(abs(value) * HARDWARE_RELATIVE, SMALLEST_WIDTH):.3g}"),
        basis=basis,
        note=f"{HARDWARE_RELATIVE:.0%} of the value",
    )
