"""What a run is found again by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunName:
    """What tells one run from another, and each of its cells from one that other code or data would make.

    key: hash of what is asked of which model on which machine. canaries: the key of its canaries. cells: of each cell
    by id, see `keys.cell_basis`.
    """

    variant: str
    benchmark: str
    key: str
    machine: Mapping[str, Any]
    canaries: str
    cells: Mapping[str, Mapping[str, Any]]

    @property
    def folder(self) -> str:
        """Where the runs of the benchmark on the variant are, below the output folder."""
        return f"{self.variant}/{self.benchmark}"

    @property
    def header(self) -> dict[str, Any]:
        """What run.json says."""
        return {"key": self.key, "machine": self.machine, "canaries": self.canaries, "cells": self.cells}
