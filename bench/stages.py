"""What differs first between two runs of the same: scores, regions, adapters or figures, and by how much."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from harness.formulas.selection import near_ties, top_mask
from harness.models.tensor_files import read_tensors
from harness.runs.journal import RECORD, read_record
from harness.spec.region import ComparisonGroup
from harness.spec.result import RunRecord

#: The shares for which it is counted how many weights are selected in one run and not in the other.
FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
GROUPS: tuple[ComparisonGroup, ...] = ("row", "matrix")
_LAYER = re.compile(r"(model\.)?layers\.\d+\.|\d+")


@dataclass(frozen=True)
class Difference:
    """A row of the table: at a stage, how many of how many differ, and the largest relative difference."""

    stage: str
    what: str
    differ: int
    of: int
    largest: float | None = None
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of the row."""
        largest = "-" if self.largest is None else f"{self.largest:.1e}"
        return self.stage, self.what, f"{self.differ:,} of {self.of:,}", largest, self.note


def differences(first: Path, second: Path) -> list[Difference]:
    """Stage by stage, two folders of runs of the same benchmarks on the same models."""
    stored = _stored(first), _stored(second)
    pairs = _pairs(first, second)
    return [
        *(
            row
            for origin in stored[0]
            if origin in stored[1]
            for row in _of_scores(origin, *(s[origin] for s in stored))
        ),
        *(row for pair in pairs for row in (_of_regions(*pair), *_of_checkpoints(first, second, *pair))),
        *(row for pair in pairs for row in _of_figures(*pair)),
    ]


def _stored(out: Path) -> dict[str, dict[str, Tensor]]:
    """Scores and Grams by their origin but for the machine at its end, which is another in every setting."""
    found = (read_tensors(path) for path in sorted((out / "store").glob("*.safetensors")))
    told = [(tensors, metadata.get("origin", "")) for tensors, metadata in found]
    return {origin.rpartition(" on ")[0]: kept for kept, origin in told if origin and not origin.startswith("probes")}


def _pairs(first: Path, second: Path) -> list[tuple[RunRecord, RunRecord]]:
    runs = [{(r.variant["name"], r.spec["id"]): r for r in _records(out)} for out in (first, second)]
    return [(runs[0][key], runs[1][key]) for key in runs[0] if key in runs[1]]


def _records(out: Path) -> list[RunRecord]:
    return [read_record(path) for path in sorted(out.glob(f"*/*/*/{RECORD}"))]


def _of_scores(origin: str, first: dict[str, Tensor], second: dict[str, Tensor]) -> Iterator[Difference]:
    relative = torch.cat([_relative(first[name], second[name]).flatten() for name in first])
    largest, median = float(relative.max()), float(relative.median())
    differ = sum(int((first[name] != second[name]).sum()) for name in first)
    zeros = sum(int((first[name] == 0).sum()) for name in first)
    yield Difference(
        "scores", origin, differ, relative.numel(), largest, f"median {median:.1e}; {zeros:,} are exactly 0"
    )
    if origin.startswith("Gram"):
        return
    for group in GROUPS:
        flipped = selected = near = 0
        for fraction in FRACTIONS:
            for name in first:
                masks = [top_mask(scores[name], fraction, group) for scores in (first, second)]
                selected += int(masks[0].sum())
                flipped += int((masks[0] & ~masks[1]).sum())
                near += int(near_ties(first[name], fraction, group, 2 * largest / (1 - largest)).sum())
        shares = f"top {FRACTIONS[0]:.1%} to {FRACTIONS[-1]:.0%} by {group}; {near:,} near ties"
        yield Difference("selection", origin, flipped, selected, None, shares)


def _relative(first: Tensor, second: Tensor) -> Tensor:
    """|a - b| / max(|a|, |b|), 0 where both are 0."""
    larger = torch.maximum(first.abs(), second.abs())
    return torch.where(larger > 0, (first - second).abs() / larger, 0.0)


def _of_regions(first: RunRecord, second: RunRecord) -> Difference:
    pairs = [(cell.receipt, other.receipt) for cell in first.cells if (other := second.cell(cell.id))]
    hashes = [(a.mask_sha256, b.mask_sha256) for a, b in pairs if a and b and a.mask_sha256]
    return Difference("regions", _name(first), sum(a != b for a, b in hashes), len(hashes), None, "masks of cells")


def _of_checkpoints(out: Path, other: Path, first: RunRecord, second: RunRecord) -> Iterator[Difference]:
    """Relative distance of what was trained, ||a - b|| / ||a||, the largest over the checkpoints of a cell."""
    for cell in first.cells:
        folders = [base / run.id / "checkpoints" / cell.id for base, run in ((out, first), (other, second))]
        distances = []
        for path in sorted(folders[0].glob("step-*/*.safetensors")):
            counterpart = folders[1] / path.relative_to(folders[0])
            if counterpart.is_file():
                a, b = read_tensors(path)[0], read_tensors(counterpart)[0]
                squares = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
                size = sum(float(tensor.double().square().sum()) for tensor in a.values())
                distances.append((squares / size) ** 0.5 if size else 0.0)
        if distances:
            differ = sum(distance > 0 for distance in distances)
            yield Difference("checkpoints", f"{_name(first)} {cell.id}", differ, len(distances), max(distances))


def _of_figures(first: RunRecord, second: RunRecord) -> Iterator[Difference]:
    """By family of metrics those that differ, the largest relative difference, and how much of a tolerance they use."""
    allowed = {(check.cell, check.metric): check for check in second.checks}
    families: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for cell in first.cells:
        for m in cell.measurements:
            other = next(
                (o for c in second.cells if c.id == cell.id for o in c.measurements if o.metric == m.metric), None
            )
            if m.value is None or other is None or other.value is None:
                continue
            larger = max(abs(m.value), abs(other.value))
            check = allowed.get((cell.id, m.metric))
            used = 0.0
            if check and check.tolerance and check.difference is not None and check.status in ("passed", "failed"):
                used = abs(check.difference) / check.tolerance
            families[_LAYER.sub("", m.metric)].append((abs(m.value - other.value) / larger if larger else 0.0, used))
    for family, found in families.items():
        if any(relative for relative, _ in found):
            used = max(share for _, share in found)
            differ = sum(relative > 0 for relative, _ in found)
            largest = max(relative for relative, _ in found)
            what = f"{_name(first)} {family}"
            yield Difference("figures", what, differ, len(found), largest, f"{used:.0%} of the tolerance")


def _name(record: RunRecord) -> str:
    return f"{record.variant['name']} {record.spec['id']}"
