"""The methods on anybody's checkpoint: score it, edit it, with a receipt."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from harness import plugins
from harness.calibration.pairs import draw, read_pairs, samples_sha256, tokenise
from harness.errors import UserError
from harness.models.editing import weights_removed
from harness.models.fingerprint import model_fingerprint, weights_fingerprint
from harness.models.layers import linear_layers
from harness.models.loading import LoadedModel, load_checkpoint
from harness.models.tensor_files import read_tensors, write_tensors
from harness.runs.files import storage_error
from harness.runs.regions import one_shot_scores, select
from harness.spec.region import AttributionSettings, ScoredRegion
from harness.spec.result import EditReceipt

DEFAULT_SAMPLES = 128


def score_checkpoint(
    model_dir: Path, method: str, data: Path | None, samples: int | None, seed: int, settings: AttributionSettings,
    out: Path,
) -> int:  # fmt: skip
    """Write the scores of a checkpoint's linear layers. Returns the number of samples used.

    samples: None takes 128, or all pairs where there are fewer. Bad input is found before the
    weights are loaded.
    """
    if plugins.load("attribution", method).USES_DATA and data is None:
        raise UserError(f"the method {method} needs --data: a CSV file with the columns prompt and response")
    if out.exists():
        raise UserError(f"{out}: exists already")
    pairs = read_pairs(data) if data is not None and plugins.load("attribution", method).USES_DATA else []
    if pairs:
        pairs = draw(pairs, min(DEFAULT_SAMPLES, len(pairs)) if samples is None else samples, seed)
    loaded = _load(model_dir)
    context = int(loaded.model.config.max_position_embeddings)
    tokenised = tokenise(pairs, loaded.tokenizer, context)
    scores = one_shot_scores(loaded.model, tokenised, method, settings, seed)
    metadata = {
        "format": "brittleness-harness scores 1", "method": method, "model_sha256": model_fingerprint(loaded.model),
        "samples": str(len(tokenised)), "samples_sha256": samples_sha256(tokenised), "seed": str(seed),
        "settings": settings.model_dump_json(),
    }  # fmt: skip
    try:
        write_tensors(out, scores, metadata)
    except OSError as error:
        raise storage_error(error, out) from None
    return len(tokenised)


def edit_checkpoint(
    model_dir: Path, region: ScoredRegion, settings: AttributionSettings, score_files: list[Path], out: Path
) -> EditReceipt:
    """Write a copy of the checkpoint without the selected weights, and receipt.json beside it.

    score_files: the scores of the data, or of safety and utility. The folder appears whole or not at all.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty")
    files = [(path, *read_tensors(path)) for path in score_files]
    loaded = _load(model_dir)
    for path, scores, metadata in files:
        _refuse_foreign_scores(path, scores, metadata, loaded)
    masks = select(region, settings, [scores for _, scores, _ in files])
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        with weights_removed(loaded.model, masks) as edit:
            loaded.model.save_pretrained(temporary)
            loaded.tokenizer.save_pretrained(temporary)
        if edit.receipt is None:
            raise UserError("the edit left no receipt")
        _refuse_unsaved_edit(temporary, edit.receipt)
        receipt = {
            "region": region.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            "scores": [metadata for _, _, metadata in files],
            **edit.receipt.model_dump(mode="json"),
        }
        (temporary / "receipt.json").write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise storage_error(error, out) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return edit.receipt


def _load(model_dir: Path) -> LoadedModel:
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such checkpoint directory")
    return load_checkpoint(str(model_dir.resolve()))


def _refuse_foreign_scores(
    path: Path, scores: Mapping[str, Tensor], metadata: Mapping[str, str], loaded: LoadedModel
) -> None:
    """Scores of another model, or for other layers, would give a mask that means nothing."""
    shapes = {name: tuple(layer.weight.shape) for name, layer in linear_layers(loaded.model).items()}
    if missing := sorted(set(shapes) ^ set(scores)):
        raise UserError(f"{path}: the layers differ from the model's, first {missing[0]}")
    for name, shape in shapes.items():
        if tuple(scores[name].shape) != shape:
            raise UserError(f"{path}: {name} is {tuple(scores[name].shape)}, the model's is {shape}")
        if not scores[name].isfinite().all():
            raise UserError(f"{path}: {name} holds scores that are not finite")
    made_for = metadata.get("model_sha256")
    if made_for is not None and made_for != model_fingerprint(loaded.model):
        raise UserError(f"{path}: these scores were made for other weights; score this checkpoint first")


def _refuse_unsaved_edit(directory: Path, receipt: EditReceipt) -> None:
    """The published code saved the model before it was pruned (main.py:250); what lies on disk is read back."""
    if weights_fingerprint(load_checkpoint(str(directory.resolve())).model) != receipt.fingerprint_edited:
        raise UserError(f"{directory}: the weights on disk are not the edited ones")
