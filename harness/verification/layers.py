"""Figures by layer and their means: how regions overlap, from counts of weights, and how similar subspaces are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.spec.measurement import Measurement, RawValues
from harness.spec.result import CellResult
from harness.verification.rates import Figure, mean_of

Rows = Sequence[RawValues]
#: The linear layers of a block, in the order of the model, by where they are.
_KINDS = {
    "self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}
#: What subspaces that lie within each other are off by in float64, of directions that are orthonormal.
_ORTHONORMAL = 1e-6


@dataclass(frozen=True)
class _Share:
    """A part of n things in one layer. exact: whether it counts them, so that it changes by 1/n at least."""

    value: float
    n: int
    exact: bool = True


def overlap_places(entry: Any, cell: CellResult, every: Rows, counted: object) -> Iterable[tuple[str, int]]:
    """The layers that any cell has, and every region that is declared in at least one."""
    parts = dict.fromkeys(row.part for row in every)
    regions = [part.rpartition("/")[0] for part in parts]
    missing = [region for region in getattr(entry, "compared", ()) if region not in regions]
    return [(part, 0) for part in (*parts, *missing)] or [("", 0)]


def overlap_problem(entry: Any, row: RawValues) -> str | None:
    """Whole numbers, and no more in common than each region holds."""
    wanted = 4 if hasattr(entry, "compared") else 3
    if len(row.values) != wanted or not all(
        value is not None and value >= 0 and value % 1 == 0 for value in row.values
    ):
        return f"{wanted} counts of weights"
    first, second, both, *kept = (value or 0 for value in row.values)
    return None if both <= min(first, second) and all(value <= first for value in kept) else "a part of each region"


def overlaps(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """|first ∩ second| as a share of the union, or of the first: of all layers together, in the mean, and by layer."""
    return _overlaps(entry.name, entry.measures, {row.part: _counts(row) for row in rows})


def rescored_overlaps(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """The same of each region before and after, and the share of its weights that kept every bit."""
    found: list[Figure] = []
    for region in entry.compared:
        own = {row.part.removeprefix(f"{region}/"): _counts(row) for row in rows if row.part.startswith(f"{region}/")}
        found += _overlaps(region, entry.measures, own)
        total, kept = sum(counts[0] for counts in own.values()), sum(counts[3] for counts in own.values())
        share = kept / total if total else None
        found.append(Figure(f"{region}_unchanged_share", share, total, resolution=1 / total if total else None))
    return found


def _counts(row: RawValues) -> list[int]:
    return [int(value or 0) for value in row.values]


def _overlaps(name: str, measures: Sequence[str], counts: Mapping[str, Sequence[int]]) -> list[Figure]:
    found: list[Figure] = []
    for measure in measures:
        shares = {layer: _part(measure, own) for layer, own in counts.items()}
        whole = _part(measure, [sum(own[column] for own in counts.values()) for column in range(3)])
        if whole is not None:
            found.append(Figure(f"{name}_{measure}", whole.value, whole.n, resolution=1 / whole.n))
        found += _by_layer(f"{name}_{measure}", {layer: share for layer, share in shares.items() if share is not None})
    return found


def _part(measure: str, counts: Sequence[int]) -> _Share | None:
    """None of regions without a weight."""
    first, second, both = counts[:3]
    n = first + second - both if measure == "jaccard" else first
    return _Share(both / n, n) if n else None


def similarity_places(entry: Any, cell: CellResult, every: Rows, counted: object) -> Iterable[tuple[str, int]]:
    """Every linear layer of every block, for every rank."""
    numbers = [
        int(row.part.split(".")[2]) for row in every if row.part.split(".")[2:3] and row.part.split(".")[2].isdigit()
    ]
    blocks = range(max(numbers, default=0) + 1)
    names = [f"{place}.{kind}" for place, kinds in _KINDS.items() for kind in kinds]
    return ((f"model.layers.{block}.{name}", rank) for rank in entry.ranks for block in blocks for name in names)


def similarity_problem(entry: Any, row: RawValues) -> str | None:
    """As many directions as the rank says of this layer, each within the other subspace by a share of its length."""
    directions = row.n or 0
    rank = row.index
    if entry.of_directions is not None:
        rank = max(1, round(row.index * directions / entry.of_directions))
    if len(row.values) != rank or rank > directions:
        return f"{rank} of {directions} directions"
    fits = all(value is not None and -_ORTHONORMAL <= value <= 1 + _ORTHONORMAL for value in row.values)
    return None if fits else "shares from 0 to 1"


def similarities(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """Of each rank and layer the mean over directions."""
    found: list[Figure] = []
    for rank in entry.ranks:
        own = {row.part: [value or 0.0 for value in row.values] for row in rows if row.index == rank}
        shares = {layer: _Share(sum(parts) / len(parts), len(parts), exact=False) for layer, parts in own.items()}
        found += _by_layer(f"{entry.name}_rank{rank}", shares)
    return found


def _by_layer(metric: str, shares: Mapping[str, _Share]) -> list[Figure]:
    """The means over all layers, over those of attention and of the MLP, and over each kind; then each layer."""
    found: list[Figure] = []
    kinds = {"": list(shares)}
    kinds |= {
        f"_{short}": _within(shares, _KINDS[place]) for short, place in (("attention", "self_attn"), ("mlp", "mlp"))
    }
    kinds |= {f"_{kind}": _within(shares, (kind,)) for names in _KINDS.values() for kind in names}
    for ending, members in kinds.items():
        own = [shares[layer] for layer in members]
        if not own:
            continue
        resolution = max(1 / share.n for share in own) / len(own) if own[0].exact else None
        values = [share.value for share in own]
        mean = mean_of(values) if len(values) > 1 else None
        found.append(
            Figure(
                f"{metric}_mean{ending}",
                values[0] if mean is None else mean.value,
                len(values),
                interval=None if mean is None else mean.interval,
                resolution=resolution,
            )
        )
    return found + [
        Figure(f"{metric}/{layer}", share.value, share.n, resolution=1 / share.n if share.exact else None)
        for layer, share in shares.items()
    ]


def _within(shares: Mapping[str, _Share], kinds: Sequence[str]) -> list[str]:
    return [layer for layer in shares if layer.rpartition(".")[2] in kinds]
