"""manifest.json: the SHA-256 of every file of a run but the record, which holds that of the manifest.

The record names what it was made from: record -> manifest.json -> cells, completions, canaries, run.json. A manifest
is written before the files that it names, so that a file of a run is never unknown; one that is not there yet, or
another than the manifest says, counts as not written.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from harness.errors import UserError
from harness.reading import LARGEST, read_bytes
from harness.spec.common import Strict, file_name
from harness.spec.json_text import content_of_json, load_json_model
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord
from harness.storage import found_below, locked, write_whole

MANIFEST, RECORD, CANARIES = "manifest.json", "record.json", "canaries.json"
#: The key of all that decided the canaries when they were measured.
CANARIES_MADE_BY = "canaries_made_by.txt"
#: What tells one run from another, in its folder: the keys of the run, its canaries and cells, and the machine.
HEADER = "run.json"
#: The spec as its file has it, before it is adapted to a variant.
DECLARED = "declared.json"
#: Where texts are of the model, and of those who asked it: nothing that is passed on without a thought.
PRIVATE = "private-completions"
_TEXTS = f"{PRIVATE}/"
_REQUESTS = f"{_TEXTS}requests/"
#: States of a model whose texts make a canary each.
CANARY_STATES = ("intact", "shuffled", "random-mask", "repeat")
#: What a run is judged by: the intact model's own texts, one a line, and the golden values that were in force.
#: Whatever holds texts of the model, or requests, is below PRIVATE: it is kept or removed together.
OWN_TEXTS, GOLDEN = f"{_TEXTS}validity/texts.jsonl.gz", "golden.json"
#: Locks of a run, which say nothing of it.
LOCK, GUARD = "lock", "manifest.lock"
_RECEIPTS = TypeAdapter(tuple[StageReceipt, ...])
#: So many files that do not fit are named.
NAMED = 5


def _relative(name: str) -> str:
    for part in name.split("/"):
        file_name(part)
    return name


def completions_file(cell_id: str) -> str:
    """Where the texts of a cell are: compressed JSON lines."""
    return f"{_TEXTS}{cell_id}.jsonl.gz"


def canary_file(state: str) -> str:
    """Where the texts are that a canary is made of, by its name: compressed JSON lines."""
    return f"{_TEXTS}canaries/{state}.jsonl.gz"


def requests_file(dataset: str) -> str:
    """Where a run keeps a data set of requests or suffixes as it was read: the file, compressed."""
    return f"{_REQUESTS}{dataset}.gz"


def holds_texts(name: str) -> bool:
    """Whether a file of a run, by its name there, holds texts of the model."""
    return name.startswith(_TEXTS) and not name.startswith(_REQUESTS)


def raw_file(cell_id: str) -> str:
    """Where the raw values of a cell are, of which its figures are made: compressed JSON lines."""
    return f"raw/{cell_id}.jsonl.gz"


def cell_file(cell_id: str) -> str:
    """Where the result of a cell is."""
    return f"cells/{cell_id}.json"


def files_of_cell(cell_id: str) -> tuple[str, str, str]:
    """Every file that a cell may have, its checkpoints aside."""
    return cell_file(cell_id), completions_file(cell_id), raw_file(cell_id)


def compressed(content: str | bytes) -> bytes:
    """As gzip, the same bytes for the same content."""
    return gzip.compress(content.encode() if isinstance(content, str) else content, mtime=0)


def unpacked(content: bytes, largest: int = LARGEST) -> bytes:
    """The bytes of `compressed`. Raises UserError for others, and for more than `largest` of them."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            held = file.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"is not compressed: {error}") from None
    if len(held) > largest:
        raise UserError(f"holds more than {largest} bytes")
    return held


def decompressed(content: bytes, largest: int = LARGEST) -> str:
    """The text of `compressed`. Raises UserError as `unpacked`, and for bytes that are no text."""
    try:
        return unpacked(content, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"is no compressed text: {error}") from None


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Strict):
    """id: the run's. files: the SHA-256 by the path below the run's folder, with `/`."""

    schema_version: Literal[1] = 1
    id: str
    files: dict[Annotated[str, AfterValidator(_relative)], Sha256] = Field(default_factory=dict)

    def doubt(self, folder: Path, name: str) -> str | None:
        """Why a file of the run is not the one that was written, in words, or None."""
        if name not in self.files:
            return f"{name} is not in {MANIFEST}"
        try:
            content = own_bytes(folder, name)
        except UserError as error:
            return below(folder, error)
        if hashlib.sha256(content).hexdigest() != self.files[name]:
            return f"{name} has changed since it was written: its SHA-256 is not that of {MANIFEST}"
        return None


def below(folder: Path, error: UserError) -> str:
    """An error in words that tell nothing of the machine."""
    return str(error).replace(f"{folder}{os.sep}", "")


def own_bytes(folder: Path, name: str) -> bytes:
    """The bytes of a file of a run. Raises UserError also for one that a link leads to, out of the run."""
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            raise UserError(f"{path}: is a link; expected a file of the run itself")
    return read_bytes(path)


def own_text(folder: Path, name: str) -> str:
    """The text of a compressed file of a run. Raises UserError as `own_bytes`, and for what is no such file."""
    return text_of(folder / name, own_bytes(folder, name))


def text_of(path: Path, content: bytes) -> str:
    """`decompressed`, with the file's name in its errors."""
    try:
        return decompressed(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_manifest(folder: Path) -> Manifest:
    """Raises UserError where it is missing, damaged, or leads elsewhere."""
    own_bytes(folder, MANIFEST)
    return load_json_model(folder / MANIFEST, Manifest, "the manifest of a run")


def note(folder: Path, run_id: str, contents: Mapping[str, bytes]) -> None:
    """Write into a run's manifest what files will hold, before they are written. A damaged manifest begins anew.

    Processes that measure cells of one run do so one after the other. Raises OSError.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    with locked(folder / GUARD):
        try:
            known = read_manifest(folder)
        except UserError:
            known = Manifest(id=run_id)
        files = {**known.files, **hashes} if known.id == run_id else hashes
        if known.id != run_id or known.files != files:
            whole = Manifest(id=run_id, files=dict(sorted(files.items())))
            write_whole(folder / MANIFEST, whole.model_dump_json(indent=1) + "\n")


def forget(folder: Path, run_id: str, names: Collection[str]) -> None:
    """Take files of a run out of its manifest, and then away. Raises OSError."""
    with locked(folder / GUARD):
        try:
            known = read_manifest(folder)
        except UserError:
            known = Manifest(id=run_id)
        files = {name: sha256 for name, sha256 in known.files.items() if name not in names}
        write_whole(folder / MANIFEST, Manifest(id=known.id, files=files).model_dump_json(indent=1) + "\n")
        for name in names:
            (folder / name).unlink(missing_ok=True)


def read_canaries(folder: Path) -> tuple[StageReceipt, ...]:
    """The canaries of a run. Raises UserError where they are missing or damaged."""
    try:
        return content_of_json(own_bytes(folder, CANARIES).decode(), _RECEIPTS)
    except ValueError as error:  # other bytes than UTF-8, or other JSON
        raise UserError(f"{folder / CANARIES}: not the canaries of a run: {error}") from None


def doubts(folder: Path, record: RunRecord) -> list[str]:
    """Why a record is not borne out by the files beside it; empty where all of them are what was written.

    Looks for files that are missing, changed, too many or of another run, and for cells and canaries that are others
    in the record than on disk.
    """
    if record.manifest_sha256 is None:
        return [f"the record was written before runs had a {MANIFEST}, and nothing bears it out"]
    try:
        manifest = read_manifest(folder)
        content = own_bytes(folder, MANIFEST)
    except UserError as error:
        return [below(folder, error)]
    if hashlib.sha256(content).hexdigest() != record.manifest_sha256:
        return [f"{MANIFEST} is not the one that the record was written with: its SHA-256 is another one"]
    if manifest.id != record.id:
        return [f"{MANIFEST} is of the run {manifest.id}, and the record of {record.id}"]
    found = [doubt for name in manifest.files if (doubt := manifest.doubt(folder, name)) is not None]
    found += [*_missing(manifest, record), *_unknown(folder, manifest), *_other_checkpoints(folder, record)]
    return found or [*_differing(folder, record)]


def _missing(manifest: Manifest, record: RunRecord) -> Iterator[str]:
    """Files that a record of these cells was made from, and cells on disk that it leaves out."""
    wanted = {cell_file(cell.id) for cell in record.cells}
    held = {name for name in manifest.files if name.startswith("cells/")}
    yield from (f"{name} is not in {MANIFEST}, but its cell is in the record" for name in sorted(wanted - held))
    yield from (f"{name} is a cell of the run, but not in the record" for name in sorted(held - wanted))


def _differing(folder: Path, record: RunRecord) -> Iterator[str]:
    """Cells and canaries of the record that are others than those on disk, which the manifest bears out."""
    for cell in record.cells:
        if load_json_model(folder / cell_file(cell.id), CellResult, "a cell of this version") != cell:
            yield f"the cell {cell.id} is another one in the record than in {cell_file(cell.id)}"
    if ((folder / CANARIES).exists() or record.canaries) and read_canaries(folder) != record.canaries:
        yield f"the canaries are others in the record than in {CANARIES}"


def _other_checkpoints(folder: Path, record: RunRecord) -> Iterator[str]:
    """Checkpoints that are there and are not those of the receipts; that they were cleared away is no doubt."""
    receipts = {
        f"checkpoints/{cell.id}/step-{checkpoint.step:06d}/{name}": sha256
        for cell in record.cells
        if cell.fine_tuning is not None
        for checkpoint in cell.fine_tuning.checkpoints
        for name, sha256 in checkpoint.files_sha256.items()
    }
    written = {os.path.normpath(name).replace(os.sep, "/"): sha256 for name, sha256 in receipts.items()}
    for path in found_below(folder / "checkpoints", "*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield f"{name} is no file of the run"
        elif path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            if name not in written and "/step-" in name:
                yield f"{name} is in no receipt of a fine-tuning"
            elif name in written and _digest(path) != written[name]:
                yield f"{name} has changed since it was written: its SHA-256 is not that of its receipt"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unknown(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Files that nothing names: nobody could say where they come from. Receipts have the hashes of checkpoints."""
    known = {*manifest.files, MANIFEST, RECORD, LOCK, GUARD}
    for path in found_below(folder, "*"):
        name = path.relative_to(folder).as_posix()
        if name.startswith("checkpoints/") or any(part.startswith(".") for part in name.split("/")):
            continue
        if path.is_symlink() or (name not in known and not path.is_dir()):
            yield f"{name} is no file of the run"


def shown(found: list[str]) -> str:
    """The first doubts, in one line."""
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return "; ".join(found[:NAMED]) + more
