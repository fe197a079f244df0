"""A record with the completions beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.errors import UserError
from harness.plugins import suggestion
from harness.reading import read_bytes
from harness.reports.results import results_of_run
from harness.runs.journal import RECORD, Journal, read_record
from harness.spec.json_text import Unfit, content_of_json
from harness.spec.manifest import PRIVATE, completions_file, text_of
from harness.spec.measurement import Completion
from harness.spec.result import CellResult, RunRecord

_COMPLETION = TypeAdapter(Completion)


@dataclass(frozen=True)
class Texts:
    """A cell's completions, or `missing`: in words, why there are none to look at."""

    completions: tuple[Completion, ...] = ()
    missing: str | None = None


@dataclass(frozen=True)
class RecordedRun:
    """A record and the file that it was read from."""

    path: Path
    record: RunRecord
    _texts: dict[str, Texts] = field(default_factory=dict)

    def cell(self, cell_id: str) -> CellResult:
        """The cell of that id. Raises UserError with a suggestion."""
        found = self.record.cell(cell_id)
        if found is not None:
            return found
        if cell_id in self.record.skipped_cells:
            raise UserError(f"{self.path}: the cell {cell_id!r} was skipped: {self.record.skipped_cells[cell_id]}")
        known = suggestion(cell_id, [cell.id for cell in self.record.cells])
        raise UserError(f"{self.path}: no cell is called {cell_id!r}; {known}")

    @cached_property
    def declared(self) -> dict[str, dict[str, Any]]:
        """What the spec says of every measured cell, its `region` and `fine_tuning` among the keys."""
        return {cell.id: cell.declared for cell in results_of_run(self.record).cells}

    @cached_property
    def intact(self) -> CellResult | None:
        """The first cell that leaves the weights alone."""
        return next((cell for cell in self.record.cells if not changes_weights(self.declared[cell.id])), None)

    def texts(self, cell: CellResult) -> Texts:
        """The completions of a cell, if they are still those that were measured; read once."""
        if cell.id not in self._texts:
            self._texts[cell.id] = self._read(cell)
        return self._texts[cell.id]

    def _read(self, cell: CellResult) -> Texts:
        if self.record.texts_taken_out_of is not None:
            return Texts(missing="the texts were taken out of this copy of the run: only their classes are known")
        try:
            content = next((text_of(path, read_bytes(path)) for path in self._places(cell) if path.is_file()), None)
        except UserError as error:
            return Texts(missing=str(error))
        if content is None:
            elsewhere = f", nor those of {cell.measured_in}" if cell.measured_in else ""
            return Texts(
                missing=f"{completions_file(cell.id)} is not beside the record{elsewhere}: of the outputs "
                f"only the classes are known; put the folder `{PRIVATE}` of the run there"
            )
        if hashlib.sha256(content.encode()).hexdigest() != cell.completions_sha256:
            return Texts(
                missing=f"{completions_file(cell.id)} is not the file that was measured (its hash is not the "
                "record's), and was not looked at"
            )
        try:
            # Not splitlines: a text may hold U+2028 and its like, which JSON leaves as they are.
            lines = [line for line in content.split("\n") if line]
            return Texts(tuple(content_of_json(line, _COMPLETION) for line in lines))
        except Unfit as error:
            return Texts(missing=f"{completions_file(cell.id)} is of another version: {error}")

    def _places(self, cell: CellResult) -> list[Path]:
        """Beside the record, or in the run that measured the cell, `<variant>/<benchmark>/<run>#<cell>`."""
        own = Journal(self.path.parent).completions_path(cell.id)
        run, _, owner_cell = (cell.measured_in or "").partition("#")
        runs = self.path.absolute().parents
        if not run or len(runs) < 4:
            return [own]
        return [own, Journal(runs[3] / run).completions_path(owner_cell)]


def open_run(path: Path) -> RecordedRun:
    """The run of a record.json, or of the folder that holds it. Raises UserError where there is none."""
    path = path / RECORD if path.is_dir() else path
    return RecordedRun(path, read_record(path))


def changes_weights(declared: Mapping[str, Any]) -> bool:
    """Whether a cell, as its spec declares it, has another model than the intact one."""
    return bool(declared.get("region") or declared.get("fine_tuning"))
