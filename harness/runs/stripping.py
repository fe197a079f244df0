"""A copy of a run without the texts of its model, for others: what is left of each still verifies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from harness.errors import UserError
from harness.formulas.metrics import scorer_rule
from harness.runs.files import folder_error, write_file, write_text
from harness.runs.journal import read_record
from harness.spec.json_text import Unfit, content_of_json
from harness.spec.manifest import (
    MANIFEST,
    RECORD,
    Manifest,
    compressed,
    doubts,
    holds_texts,
    own_bytes,
    own_text,
    read_manifest,
    shown,
)
from harness.spec.measurement import Completion, Withheld
from harness.storage import whole_folder

_COMPLETION = TypeAdapter(Completion)


def stripped(path: Path, out: Path) -> tuple[Path, int]:
    """Write a copy of a run in which no text of the model is left, nor its tokens, and checkpoints are left out.

    Of each text there stay its class, its evidence, its likelihoods, its hash, and by which rule the published scorer
    decides it. Requests, suffixes and the prompts made of them stay: they are data.

    path: of record.json, or of the folder that holds it. out: the folder of the copy, which is not there yet.
    Returns the record of the copy, and how many texts were taken out. Raises UserError where the files of the run are
    not those that its record was written with, and where `out` exists.
    """
    path = path / RECORD if path.is_dir() else path
    record, folder = read_record(path), path.parent
    if record.texts_taken_out_of is not None:
        raise UserError(f"{path}: its texts are taken out already")
    if found := doubts(folder, record):
        raise UserError(f"{path}: cannot be copied, since nothing bears it out: {shown(found)}")
    if out.exists():
        raise UserError(f"{out}: exists already")
    taken, files = 0, {}
    try:
        with whole_folder(out) as filled:
            for name in read_manifest(folder).files:
                content = own_bytes(folder, name)
                if holds_texts(name):
                    lines = list(_without_texts(folder, name))
                    content, taken = compressed("".join(lines)), taken + len(lines)
                write_file(filled / name, content)
                files[name] = hashlib.sha256(content).hexdigest()
            manifest = Manifest(id=record.id, files=files).model_dump_json(indent=1) + "\n"
            write_text(filled / MANIFEST, manifest)
            update = {
                "manifest_sha256": hashlib.sha256(manifest.encode()).hexdigest(),
                "texts_taken_out_of": record.manifest_sha256,
            }
            write_text(filled / RECORD, record.model_copy(update=update).model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise folder_error(error, out) from None
    return out / RECORD, taken


def _without_texts(folder: Path, name: str) -> Iterator[str]:
    """The lines of a file of texts, of each what is kept."""
    for line in own_text(folder, name).split("\n"):
        if line:
            try:
                yield _kept(content_of_json(line, _COMPLETION)).model_dump_json() + "\n"
            except Unfit as error:
                raise UserError(f"{folder / name}: not the texts of a cell: {error}") from None


def _kept(completion: Completion) -> Completion:
    words = " ".join(completion.text.split())
    withheld = Withheld(
        sha256=hashlib.sha256(completion.text.encode()).hexdigest(),
        words_sha256=hashlib.sha256(words.encode()).hexdigest(),
        tokens=len(completion.token_ids),
        scorer_rule=scorer_rule(completion.text),
    )
    return completion.model_copy(update={"text": "", "token_ids": (), "choices": (), "withheld": withheld})
