"""`harness edit`: an edited copy of a checkpoint of the user's, with a receipt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness import plugins
from harness.errors import InvalidRun, UserError
from harness.models import own_decoding
from harness.models.checkpoint_files import CheckpointFiles, unloaded_layers
from harness.models.editing import region_removed
from harness.models.fingerprint import model_fingerprint, weights_fingerprint
from harness.models.layers import linear_layers
from harness.models.loading import LoadedModel, load_checkpoint
from harness.models.tensor_files import read_tensors
from harness.reading import real
from harness.receipts.weights import saved_checkpoint
from harness.regions import base as regions
from harness.regions.base import Measure, measure_of
from harness.runs.checkpoints import Measured, load_directory, require_directory
from harness.runs.files import folder_error, require_writable
from harness.spec.receipt import EditReceipt
from harness.spec.region import SCORES_AT_HAND, AttributionSettings, region_kinds
from harness.storage import whole_folder


def region_of_options(
    selection: str, given: Mapping[str, Any]
) -> tuple[regions.Region, AttributionSettings, list[Path]]:
    """The region that options declare, the settings, and the files that it is found from.

    given: option names to values, None where an option was not given. Raises UserError for an
    option that is missing, one that has no meaning with the selection, and a value out of range.
    """
    kinds = editable()
    if selection not in kinds:
        raise UserError(f"--select is {selection!r}; {plugins.suggestion(selection, kinds)}")
    options = kinds[selection]
    needed = (*options.files, *options.needed)
    for name, value in given.items():
        if (value is None and name in needed) or (value is not None and name not in (*needed, *options.allowed)):
            flag = f"-{name}" if len(name) == 1 else "--" + name.replace("_", "-")
            raise UserError(f"{flag} {'is needed' if name in needed else 'has no meaning'} with --select {selection}")
    fields = {name: value for name, value in given.items() if value is not None and name not in options.files}
    settings = AttributionSettings(comparison_group=fields.pop("group", "row"))
    fields |= {role: given[name].name for name, role in options.files.items()}
    return declared_region(selection, fields), settings, [given[name] for name in options.files]


def declared_region(selection: str, fields: Mapping[str, Any]) -> regions.Region:
    """A region on scores or Grams that are at hand, from the keys of a spec. Raises UserError for a value out of
    range."""
    at_hand = {SCORES_AT_HAND: True}
    try:
        return regions.region(
            region_kinds()[selection].model_validate({"select": selection, **fields}, context=at_hand)
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{first['loc'][-1]} is {first['input']}; " if first["loc"] else ""
        raise UserError(where + first["msg"].removeprefix("Value error, ").lower()) from None


def editable() -> dict[str, regions.EditOptions]:
    """The options of every kind of region that an edit can remove, by what is given as --select."""
    kinds = {select: plugins.load("regions", select).Region.edit_options for select in region_kinds()}
    return {select: options for select, options in kinds.items() if options is not None}


def edit_checkpoint(
    model_dir: Path,
    region: regions.Region,
    settings: AttributionSettings,
    files: Sequence[Path],
    out: Path,
) -> EditReceipt:
    """Write a copy of the checkpoint without the region, and receipt.json beside it.

    files: scores, or Gram matrices, of the data, or of safety and utility. The folder appears whole
    or not at all.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty")
    require_writable(out)
    contents = [(path, Measured(*read_tensors(path))) for path in files]
    for path, measured in contents:
        _refuse_other_format(path, measured.metadata, measure_of(region))
    require_directory(model_dir)
    unloaded = unloaded_layers(CheckpointFiles.at(str(model_dir)))
    for path, measured in contents:
        _refuse_unlike(path, measured, unloaded, region)
    region.refuse_unfit(unloaded, settings)
    loaded = load_directory(model_dir)
    layers = linear_layers(loaded.model)
    for path, measured in contents:
        _refuse_other_weights(path, measured.metadata, loaded.model)
    found = region.selected(settings, layers, [dict(measured.tensors) for _, measured in contents])
    try:
        with whole_folder(out) as filled:
            with region_removed(loaded.model, found) as edit:
                _save(loaded, model_dir, filled)
            if edit.receipt is None:
                raise UserError("the edit left no receipt")
            _refuse_unsaved_edit(filled, edit.receipt)
            _write_receipt(filled, region, settings, [measured.metadata for _, measured in contents], edit.receipt)
    except OSError as error:
        raise folder_error(error, out) from None
    return edit.receipt


def what_was_removed(receipt: EditReceipt) -> str:
    """A receipt in one line."""
    if receipt.rank_share is not None:
        ranks = receipt.rank_by_layer.values()
        return f"rank(ΔW) {min(ranks)} to {max(ranks)} in {len(ranks)} layers (at most {receipt.rank_share:.3%} of R)"
    return f"{receipt.weights_selected} of {receipt.weights_total} weights removed ({receipt.sparsity:.3%})"


def _save(loaded: LoadedModel, model_dir: Path, directory: Path) -> None:
    """How the checkpoint asks to be decoded stays as it was, to the byte: the library refuses to save some of it."""
    loaded.model.save_pretrained(directory)
    loaded.tokenizer.save_pretrained(directory)
    if (model_dir / own_decoding.FILE).is_file():
        shutil.copyfile(model_dir / own_decoding.FILE, directory / own_decoding.FILE)


def _write_receipt(
    directory: Path,
    region: regions.Region,
    settings: AttributionSettings,
    origins: Sequence[Mapping[str, str]],
    receipt: EditReceipt,
) -> None:
    """Of settings only the comparison group decides an edit; the others are those that the files were made with."""
    declared = region.settings.model_dump(mode="json", exclude_none=True)
    content: dict[str, Any] = {"region": declared, "grams": origins}
    if region.settings.of_scores:
        declared["method"] = _method_of(origins)
        content = {"region": declared, "comparison_group": settings.comparison_group, "scores": origins}
    content |= receipt.model_dump(mode="json")
    (directory / "receipt.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _method_of(origins: Sequence[Mapping[str, str]]) -> str | list[str]:
    """What the files say that their scores are, in their order where they differ; `unknown` where one is silent."""
    methods = [metadata.get("method", "unknown") for metadata in origins]
    return methods[0] if len(set(methods)) == 1 else methods


def require_fit(where: Path | str, measured: Measured, model: PreTrainedModel, region: regions.Region) -> None:
    """Raises UserError for scores or Grams of other layers or other weights: a mask from them would mean nothing.

    where: the file that they are from, or the role that they have.
    """
    _refuse_unlike(where, measured, linear_layers(model), region)
    _refuse_other_weights(where, measured.metadata, model)


def _refuse_unlike(
    where: Path | str, measured: Measured, layers: Mapping[str, nn.Linear], region: regions.Region
) -> None:
    """Of scores or Grams whatever can be seen without weights. layers: may be on the device `meta`."""
    measure = measure_of(region)
    _refuse_other_format(where, measured.metadata, measure)
    _refuse_other_shapes(where, measured.tensors, {name: measure.shape(layer) for name, layer in layers.items()})
    if measure.symmetric:
        _refuse_asymmetric(where, measured.tensors)


def _refuse_other_format(path: Path | str, metadata: Mapping[str, str], measure: Measure) -> None:
    found = metadata.get("format")
    if found != measure.file_format and (found is not None or measure.format_needed):
        got = "no format" if found is None else repr(found)
        raise UserError(f"{path}: holds {got}, expected {measure.file_format!r}; make it with {measure.made_by}")


def _refuse_asymmetric(path: Path | str, matrices: Mapping[str, Tensor]) -> None:
    """Matrices that are no Gram matrices would give directions that mean nothing."""
    for name, matrix in matrices.items():
        # Float32 products need not be symmetric in the last bits.
        if not matrix.is_floating_point() or (matrix - matrix.mT).abs().max() > 1e-4 * matrix.abs().max():
            raise UserError(f"{path}: {name} is not symmetric and no Gram matrix; make the file again")


def _refuse_other_shapes(
    path: Path | str, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    if missing := sorted(set(shapes) ^ set(tensors)):
        raise UserError(f"{path}: the layers differ from the model's, first {missing[0]}")
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{path}: {name} is {tuple(tensors[name].shape)}, expected {shape} for this model")
        if not tensors[name].is_floating_point():
            kind = str(tensors[name].dtype).removeprefix("torch.")
            raise UserError(f"{path}: {name} is of {kind}, expected floating-point numbers; make the file again")
        if not tensors[name].isfinite().all():
            raise UserError(f"{path}: {name} holds numbers that are not finite")


def _refuse_other_weights(path: Path | str, metadata: Mapping[str, str], model: nn.Module) -> None:
    made_for = metadata.get("model_sha256")
    if made_for is not None and made_for != model_fingerprint(model):
        raise UserError(f"{path}: made for other weights; measure this checkpoint first")


def _refuse_unsaved_edit(directory: Path, receipt: EditReceipt) -> None:
    """The published code saved the model before it was pruned (main.py:250); what lies on disk is read back."""
    on_disk = weights_fingerprint(load_checkpoint(str(real(directory))).model)
    saved = saved_checkpoint(receipt.fingerprint_edited, on_disk)
    if not saved.holds:
        raise InvalidRun(f"{saved.stage}/{saved.name}", saved.words)
