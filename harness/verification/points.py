"""The cells of a spec, made of its groups and grids a second time: which value belongs to which id."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.benchmark import BenchmarkSpec
from harness.spec.cell import Cell, CellGroup


def declared_cells(spec: BenchmarkSpec) -> Iterator[tuple[str, CellGroup, dict[str, Any]]]:
    """(id, group, grid point) of every cell, in the order of the file."""
    for group in spec.cells:
        grid = group.grid if group.grid is not None else {}
        points = grid if isinstance(grid, list) else [dict(each) for each in itertools.product(*_pairs(grid))]
        for point in points:
            yield group.id + "".join(f"_{key.split('.')[-1]}{value}" for key, value in point.items()), group, point


def cell_at(name: str, group: CellGroup, point: Mapping[str, Any]) -> Cell:
    """The cell that a group declares at a grid point. A key without a dot is one of its region."""
    sections = {"region": group.region, "fine_tuning": group.fine_tuning}
    for key, value in point.items():
        path = key.split(".") if "." in key else ["region", key]
        sections = _with(sections, path, value)
    words = {"group": group.id, "parameters": dict(point), "variants": group.variants}
    return Cell.model_validate({"id": name, **words, "invalid_is_expected": group.invalid_is_expected, **sections})


def _with(content: Any, path: list[str], value: Any) -> dict[str, Any]:
    """The content with a value at a path: a copy, with mappings where the file leaves them out."""
    own = copy.copy(content) if isinstance(content, dict) else {}
    first, *rest = path
    own[first] = _with(own.get(first), rest, value) if rest else value
    return own


def _pairs(grid: Mapping[str, list[Any]]) -> list[list[tuple[str, Any]]]:
    return [[(key, value) for value in values] for key, values in grid.items()]
