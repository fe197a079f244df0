"""What in a model's folder is more than data: what of it is used within bounds, never used, or refused.

Nothing here runs, unpickles or renders anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError
from harness.models.config_sizes import unfit_sizes
from harness.reading import LONGEST_INTEGER_OF_CONFIGS, no_file, parsed_json, read_bytes, real

#: How far what is active may act.
Use = Literal["bounded", "unused", "refused"]
ADAPTER = (
    "it is an adapter, which brings in the model that it names; expected a whole checkpoint: merge the adapter into "
    "its model (peft's merge_and_unload) and save that"
)
_PICKLES = {".bin", ".ckpt", ".h5", ".joblib", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
_PROGRAMS = {
    ".bat",
    ".cu",
    ".dll",
    ".dylib",
    ".exe",
    ".ipynb",
    ".js",
    ".ps1",
    ".pth",
    ".py",
    ".pyc",
    ".pyd",
    ".sh",
    ".so",
}
_OWN_ATTENTION = {None, "eager", "sdpa"}
#: Which files hold the tensors, where they are several.
INDEX = "model.safetensors.index.json"
#: Endings of what from_pretrained opens in a folder.
_OPENED = {".jinja", ".json", ".model", ".safetensors", ".txt"}
_CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json")
#: Bytes of a config: published ones have kilobytes, a tokenizer's with all its added tokens some megabytes.
_MOST_BYTES = 50_000_000
#: Files in a folder: the largest checkpoints come in hundreds of shards; what has more is no model's folder.
_MOST_FILES = 10_000


@dataclass(frozen=True)
class Active:
    """One thing: the file, relative to the folder; what it is; how far it may act."""

    file: str
    what: str
    use: Use


def active_parts(folder: Path) -> list[Active]:
    """Everything in a folder and below that could act, by file. Raises UserError for one with too many files."""
    paths = list(islice(_files(folder), _MOST_FILES + 1))
    if len(paths) > _MOST_FILES:
        raise UserError(f"{folder}: holds more than {_MOST_FILES} files; expected a model's folder")
    found = [Active(name, what, "refused") for name, what in _refused(folder)]
    for path in paths:
        name = path.relative_to(folder).as_posix()
        found += (Active(name, what, use) for what, use in _parts_of(path, folder))
    return sorted(found, key=lambda each: (each.file, each.what))


def refuse_active(folder: Path) -> None:
    """Raise UserError that names all that keeps the checkpoint in a folder from being loaded."""
    problems = [f"{folder / name}: {what}" for name, what in _refused(folder)]
    if problems:
        raise UserError("\n".join(problems))


def unfit_config(config: Mapping[str, Any]) -> list[str]:
    """What a model's config asks for besides weights as they are and attention of transformers' own."""
    problems = unfit_sizes(config)
    if config.get("quantization_config"):
        problems.append(
            "quantization_config: weights in a packed form, which other packages unpack; expected plain float32, "
            "bfloat16 or float16"
        )
    for key in ("attn_implementation", "_attn_implementation"):
        if (asked := config.get(key)) not in _OWN_ATTENTION:
            problems.append(f"{key} is {asked!r}, which can name code on the hub; expected eager or sdpa")
    return list(dict.fromkeys(problems))


def _refused(folder: Path) -> Iterator[tuple[str, str]]:
    """Of the files that from_pretrained reads, (name, why it is refused)."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _OPENED and (kind := no_file(path)) is not None:
            yield path.name, f"is {kind}; expected a file"
    if (folder / INDEX).is_file():
        try:
            shards(folder / INDEX)
        except UserError as error:
            yield INDEX, str(error)
    if (folder / "adapter_config.json").exists():
        yield "adapter_config.json", ADAPTER
    for name in _CONFIGS:
        if (folder / name).is_file():
            try:
                content = _json(folder / name)
            except UserError as error:
                yield name, str(error)
                continue
            if name == "config.json":
                yield from ((name, problem) for problem in unfit_config(content))


def shards(index: Path) -> list[str]:
    """The names of the files that an index spreads tensors over. Raises UserError, without its name, for any other."""
    named = _json(index).get("weight_map")
    names = list(named.values()) if isinstance(named, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise UserError("has no weight_map from tensors to names of files beside it; expected one")
    return sorted(set(names))


def _json(path: Path) -> dict[str, Any]:
    """A JSON file's mapping. Raises UserError, without the file's name, for anything else."""
    try:
        content = parsed_json(read_bytes(path, _MOST_BYTES).decode("utf-8"), LONGEST_INTEGER_OF_CONFIGS)
    except UserError as error:
        raise UserError(str(error).removeprefix(f"{path}: ")) from None
    except ValueError as error:  # NotJSON, and bytes that are no UTF-8
        raise UserError(f"cannot be read as JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise UserError(f"holds a {type(content).__name__}; expected a mapping")
    return content


def _files(folder: Path) -> Iterator[Path]:
    """Files, and links whatever they lead to; links to folders are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.suffix in (".dist-info", ".egg-info"):
                yield path
            yield from _files(path)
        else:
            yield path


def _parts_of(path: Path, folder: Path) -> Iterator[tuple[str, Use]]:
    name, ending = path.name, path.suffix.lower()
    if path.is_symlink() and not real(path).is_relative_to(real(folder)):
        yield "a link out of the folder: read where it is a file that is asked for", "bounded"
    if path.is_dir():
        yield "a package that declares plugins: only an installed one's are loaded", "unused"
    if ending in _PROGRAMS:
        yield "a program: never run", "unused"
    if ending in _PICKLES or name.startswith(("adapter_model.", "pytorch_model")):
        yield "may hold a pickle: never loaded, weights are safetensors alone", "unused"
    if ending == ".jinja":
        yield "a chat template: rendered if the variant says chat_template: tokenizer, in the sandbox", "bounded"
    if path.parent == folder:
        yield from _parts_of_checkpoint(path)


def _parts_of_checkpoint(path: Path) -> Iterator[tuple[str, Use]]:
    if path.name not in (*_CONFIGS, "chat_template.json", "adapter_config.json"):
        return
    try:
        content = _json(path)
    except UserError:
        return  # told among what is refused, if it would be read
    if "auto_map" in content:
        yield "auto_map: names code for the model; never run, the classes of transformers are taken", "unused"
    if content.get("custom_pipelines") or content.get("custom_generate"):
        yield "names code of its own to generate or to load with; never run", "unused"
    if content.get("chat_template"):
        yield "a chat template: rendered if the variant says chat_template: tokenizer, in the sandbox", "bounded"
