"""How near the figures of finished runs come to failing: the same table for every benchmark and instruction set.

python -m bench.nearness runs-default runs-avx2 runs-compatible
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from harness.reports.html import newest_records
from harness.spec.golden import Basis
from harness.spec.result import RunRecord

COLUMNS = ("variant", "benchmark")
#: Tolerances of figures of ours; of claims and of published values nothing is said here.
_BASES = get_args(Basis)


@dataclass(frozen=True)
class Nearness:
    """What a record's comparison with its golden values says.

    status: of the record's verdict.
    differ, compared: how many figures are not the golden ones to the last bit, of how many.
    nearest: the largest difference as a share of its own tolerance; 1 and more fails.
    figure: the cell and metric of it; empty where nothing differs.
    """

    status: str
    differ: int
    compared: int
    nearest: float
    figure: str

    @property
    def words(self) -> str:
        """The text of a cell of the table."""
        said = f"{self.differ:,} of {self.compared:,} differ"
        return f"{self.status}: {said}" + (f", nearest {self.nearest:.2f}" if self.differ else "")


def nearness(record: RunRecord) -> Nearness:
    """How near a record's figures come to their tolerances."""
    shares = {}
    for check in record.checks:
        compared = check.basis in _BASES and check.status in ("passed", "failed")
        if compared and check.difference is not None and check.tolerance:
            shares[f"{check.cell}:{check.metric}"] = abs(check.difference) / check.tolerance
    figure = max(shares, key=shares.__getitem__, default="")
    nearest = shares.get(figure, 0.0)
    differ = sum(share > 0 for share in shares.values())
    return Nearness(record.verdict.status, differ, len(shares), nearest, figure if nearest > 0 else "")


def rows(outs: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """Variant, benchmark, the words of each folder ("-" where it has no such record), and the figure nearest of all."""
    found = [
        {(record.variant["name"], record.spec["id"]): nearness(record) for _, record in newest_records(out)}
        for out in outs
    ]
    for variant, benchmark in sorted({key for records in found for key in records}):
        here = [records.get((variant, benchmark)) for records in found]
        nearest = max((each for each in here if each is not None), key=lambda each: each.nearest)
        yield variant, benchmark, *("-" if each is None else each.words for each in here), nearest.figure


def echo_table(outs: Sequence[Path]) -> None:
    """Print the rows of these folders as a table in Markdown."""
    columns = (*COLUMNS, *(out.name for out in outs), "nearest figure")
    for row in (columns, ("---",) * len(columns), *rows(outs)):
        click.echo(f"| {' | '.join(row)} |")


@click.command()
@click.argument("outs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(outs: tuple[Path, ...]) -> None:
    """Print a table of how near the newest records in each folder come to their golden values' tolerances."""
    echo_table(outs)


if __name__ == "__main__":
    main()
