"""The folder of calibration data: which it is, what a killed build has left in it, and how its files come into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from harness.calibration.files import file_sha256
from harness.data.cache import data_folder
from harness.data.sources import calibration_place
from harness.errors import UserError
from harness.reading import read_json
from harness.runs.files import folder_error, require_writable, write_new
from harness.spec.variant import ModelVariant
from harness.storage import clear_leftovers, remove_left, scratch_folder

FULL, SHORT, MANIFEST = "safety_full.csv", "safety_short.csv", "calibration.json"


def free_folder(variant: ModelVariant, variant_file: Path, out: Path | None) -> Path:
    """Where to write. Raises UserError if one of the files is there, or if no place is known.

    out: None takes the folder in which the variant expects safety_full.csv, in the data cache or elsewhere.
    """
    if out is None:
        declared = variant.datasets.get("safety-full")
        if declared is not None and declared.source == "calibration-full":
            out = data_folder() / calibration_place(variant)
        elif (
            declared is None
            or declared.path is None
            or Path(declared.path).name != FULL
            or variant.source.organism is not None
        ):
            raise UserError(
                f"{variant_file}: safety-full is not a file {FULL} beside which the others could be put; "
                "say where to write with --out DIR"
            )
        else:
            out = (variant_file.parent / declared.path).parent
    _clear_half_written(out)
    for name in (FULL, SHORT, MANIFEST):
        if (out / name).exists():
            raise UserError(f"{out / name}: exists already; move it away, or choose another folder with --out DIR")
    require_writable(out)
    return out


def write_built(folder: Path, tables: Mapping[str, str], manifest: Mapping[str, Any]) -> None:
    """Write the files of a build, or none of them. tables: CSV by name; manifest: with their hashes as `files`.

    Of two builds into one folder the one that is first to write its first file, the manifest, writes them all.
    Raises UserError where a file is there, MachineError where the disk takes none.
    """
    written: list[Path] = []
    try:
        with scratch_folder(folder):  # by which it is known what a killed build has left
            for name, text in chain([(MANIFEST, json.dumps(manifest, indent=1) + "\n")], tables.items()):
                write_new(folder / name, text)
                written.append(folder / name)
    except OSError as error:
        raise folder_error(error, folder) from None
    finally:
        if len(written) <= len(tables):
            for path in written:
                path.unlink()


def _clear_half_written(folder: Path) -> None:
    """Remove what a build that was killed as it wrote has left: a manifest, and not each of the files that it names."""
    names = FULL, SHORT
    if not clear_leftovers(folder) or not (folder / MANIFEST).is_file() or all((folder / n).exists() for n in names):
        return
    said = read_json(folder / MANIFEST)
    hashes = said.get("files") if isinstance(said, dict) else None
    written = [folder / name for name in names if (folder / name).exists()]
    if isinstance(hashes, dict) and all(file_sha256(path) == hashes.get(path.name) for path in written):
        remove_left(*written, folder / MANIFEST)
