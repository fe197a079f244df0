"""Items of a task from a file of JSON, CSV or Parquet: plain values, and no more of them than a task has."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.lm_eval_tasks import first_line
from harness.errors import UserError
from harness.reading import LARGEST, NotJSON, parsed_json, read_bytes, read_text, read_unmarked, real

if TYPE_CHECKING:
    from datasets import Dataset

#: Rows times columns: `datasets` writes a place for each into its cache, however small the file is. The largest task of
#: lm-eval's own has some 100,000 items with 10 columns. So much is read in some 20 seconds.
MOST_VALUES, MOST_ITEMS, MOST_COLUMNS = 2_000_000, 400_000, 1_000
#: Rows of a Parquet file that are unpacked at once: each may be as long as the file.
_ROWS = 16
#: What the names of the types of plain values begin with in `datasets`.
_PLAIN = ("string", "large_string", "bool", "int", "uint", "float", "null")


def read_items(form: str, file: Path) -> Dataset:
    """The items of one file. JSON, CSV and Parquet are read by pyarrow and pandas, and run nothing.

    form: json, csv or parquet. Raises UserError, with the line where there is one, for what is something else, for more
    than plain values, and for more of them than a task has.
    """
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils.extract import Extractor

    read_bytes(file, LARGEST)  # a file, and none that is a pipe
    if (packed := Extractor.infer_extractor_format(str(file))) is not None:
        raise UserError(f"{file}: is packed ({packed}); expected {form}, unpacked")
    {"json": _refuse_unfit_json, "csv": _refuse_unfit_csv, "parquet": _refuse_unfit_parquet}[form](file)
    _say_nothing()
    try:
        items = load_dataset(form, data_files={"items": str(real(file))})["items"]
    except (DatasetGenerationError, OSError, StopIteration, ValueError) as error:
        words = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"{file}: its items cannot be read as {form}: {words}") from None
    if not isinstance(items, Dataset) or not items.num_rows:
        raise UserError(f"{file}: holds no item")
    _refuse_others(items.features, file)
    return items


def _say_nothing() -> None:
    """No bars, and what `datasets` logs of a file that it cannot read is said by the error."""
    from datasets import disable_progress_bars
    from datasets.utils.logging import set_verbosity

    disable_progress_bars()
    set_verbosity(logging.CRITICAL)


def _refuse_unfit_json(file: Path) -> None:
    """Raise UserError for what is neither a list of mappings nor one mapping a line, of which each key stands once."""
    keys: set[tuple[str, ...]] = set()
    for rows, (line, item) in enumerate(_json_items(file, read_text(file)), start=1):
        if not isinstance(item, dict):
            raise UserError(f"{file}:{line}: an item is a {type(item).__name__}; expected a mapping of its columns")
        keys.update(_columns(item, ()))
        _refuse_more(rows, len(keys), f"{file}:{line}")


def _columns(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The places of the values in an item: each becomes a column, with a value for every item."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _columns(inner, (*place, key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for inner in value:
            yield from _columns(inner, (*place, "[]"))
    else:
        yield place


def _json_items(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Each item with the line on which it, or the list of all of them, begins."""
    lines = [(1, text)] if text.lstrip()[:1] == "[" else enumerate(text.split("\n"), start=1)
    for number, line in lines:
        if line.strip():
            try:
                content = parsed_json(line)
            except NotJSON as error:
                raise UserError(f"{file}:{number}: {error}") from None
            yield from ((number, item) for item in (content if isinstance(content, list) else [content]))


def _refuse_unfit_csv(file: Path) -> None:
    """Raise UserError for a row of another length than the first: pandas fills up or takes the rest for an index."""
    reader = csv.reader(io.StringIO(read_unmarked(file), newline=""))
    columns = 0
    try:
        for number, row in enumerate(reader):
            columns = columns or len(row)
            if row and len(row) != columns:
                raise UserError(f"{file}:{reader.line_num}: the row has {len(row)} fields; expected {columns}")
            _refuse_more(number, columns, f"{file}:{reader.line_num}")
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: not CSV: {error}") from None


def _refuse_unfit_parquet(file: Path) -> None:
    """Raise UserError for what unpacks to more than a file may hold: a kilobyte can be a terabyte of rows."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as table:
            facts, held = table.metadata, 0
            groups = map(facts.row_group, range(facts.num_row_groups))
            _refuse_more(facts.num_rows, facts.num_columns, str(file))
            _refuse_values(sum(g.column(each).num_values for g in groups for each in range(g.num_columns)), str(file))
            for batch in table.iter_batches(batch_size=_ROWS):
                held += batch.nbytes
                if held > LARGEST:
                    raise UserError(f"{file}: unpacks to more than {LARGEST} bytes; expected at most so many")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file}: its items cannot be read as parquet: {first_line(error)}") from None


def _refuse_more(rows: int, columns: int, where: str) -> None:
    for held, most, what in ((columns, MOST_COLUMNS, "columns"), (rows, MOST_ITEMS, "items")):
        if held > most:
            raise UserError(f"{where}: holds more than {most} {what}; expected fewer")
    _refuse_values(rows * columns, where)


def _refuse_values(values: int, where: str) -> None:
    if values > MOST_VALUES:
        raise UserError(f"{where}: rows times columns are more than {MOST_VALUES}; expected fewer")


def _refuse_others(feature: Any, file: Path) -> None:
    """Raise UserError for what is more than text, numbers, booleans, and lists and mappings of them.

    A Parquet file can declare its columns to be pictures or sounds, which are then opened from where it says.
    """
    from datasets import LargeList, List, Value

    if isinstance(feature, dict):
        for each in feature.values():
            _refuse_others(each, file)
    elif isinstance(feature, List | LargeList):
        _refuse_others(feature.feature, file)
    elif not isinstance(feature, Value) or not feature.dtype.startswith(_PLAIN):
        raise UserError(
            f"{file}: a column is {getattr(feature, 'dtype', type(feature).__name__)}; expected text, numbers, "
            "booleans, and lists and mappings of them"
        )
