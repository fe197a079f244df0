"""Weights that are made of a pinned file once, and where in the cache they are."""

from __future__ import annotations

from pathlib import Path

from harness.data.cache import LockedFile, checked_file, data_folder, read_lock, record
from harness.data.sources import gguf_sha256, pinned_place
from harness.errors import UserError
from harness.spec.variant import GGUFSource, ModelVariant

#: Raised where conversion gives other files.
CONVERSION = 1


def gguf_path(source: GGUFSource, variant_file: Path) -> Path:
    """Where the file is, or will be once it was fetched. Raises UserError for a name that is not pinned."""
    if source.path is not None:
        return (variant_file.parent / source.path).resolve()
    return data_folder() / pinned_place(source.pinned or "")


def converted_folder(source: GGUFSource) -> Path:
    """Where the checkpoint is that is made of a file: by the file's hash. Raises UserError for an unknown name."""
    return data_folder() / "converted" / f"{gguf_sha256(source)}-{CONVERSION}"


def record_converted(source: GGUFSource) -> None:
    """Write into lock.json what every file of the checkpoint holds, once it was made."""
    folder = converted_folder(source)
    for path in sorted(folder.iterdir()):
        record(path.relative_to(data_folder()).as_posix(), of=gguf_sha256(source))


def require_as_converted(source: GGUFSource, weights: bool) -> None:
    """Compare the checkpoint with lock.json, which lies outside of its folder. weights: those too.

    Raises UserError for files that are missing, others than were made, or more than those.
    """
    folder, known = converted_folder(source), _recorded(source)
    next_step = f"remove {folder}, and make it again: harness data fetch --only weights"
    for path in sorted(folder.iterdir()):
        if path.relative_to(data_folder()).as_posix() not in known:
            raise UserError(f"{path}: nothing says that it was made of the GGUF file; {next_step}")
    for name, held in known.items():
        if weights or not name.endswith(".safetensors"):
            checked_file(name, held, next_step)


def _recorded(source: GGUFSource) -> dict[str, LockedFile]:
    place = converted_folder(source).relative_to(data_folder()).as_posix()
    return {name: held for name, held in read_lock().files.items() if name.startswith(f"{place}/")}


def weights_problem(variant: ModelVariant) -> str | None:
    """Why the checkpoint of a GGUF file is not there, with the next step; None where it is, and for other sources."""
    source = variant.source.gguf
    if source is None or ((converted_folder(source) / "config.json").is_file() and _recorded(source)):
        return None
    return (
        "the checkpoint is not made yet of the GGUF file; next: "
        f"harness data fetch --model {variant.name} --only weights"
    )
