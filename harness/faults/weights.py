"""Faults of stored scores and saved weights: what a cell reads or writes is another cell's, or the model before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import InvalidRun
from harness.faults.base import UNLISTED, Alarm, Fault, Outcome, Trial
from harness.models.loading import source_directory
from harness.regions import top
from harness.runs.checkpoint_edits import edit_checkpoint
from harness.runs.checkpoints import load_directory, measured_scores
from harness.spec.loading import load_yaml_model
from harness.spec.region import AttributionSettings
from harness.spec.variant import ModelVariant


def _without_method(key_of: Callable[..., dict[str, object]]) -> Callable[..., dict[str, object]]:
    """Stored scores are filed without their method, so that the second cell of a sweep reads the first one's.

    The published code saved every cell of a sweep to one path without its settings (main.py:371).
    """

    def wrong(*args: Any) -> dict[str, object]:
        return {name: value for name, value in key_of(*args).items() if name not in ("method", "code")}

    return wrong


def _ended_before_saving(removed: Callable[..., Any]) -> Callable[..., Any]:
    """The checkpoint is written outside the edit; its receipt tells of an edit that the file does not hold.

    The published code saved before it pruned (main.py:250).
    """

    @contextmanager
    def wrong(*args: Any) -> Iterator[Any]:
        with removed(*args) as edit:
            pass
        yield edit

    return wrong


def _edit_a_checkpoint(trial: Trial) -> Outcome:
    """`harness score` and `harness edit` on the organism's own checkpoint."""
    directory = source_directory(load_yaml_model(trial.variant, ModelVariant), trial.variant)
    if directory is None:
        raise ValueError(f"{trial.variant} is no local checkpoint")
    settings, scores = AttributionSettings(), trial.folder / "scores.safetensors"
    measured_scores(load_directory(directory), [], "magnitude", 0, settings).written(scores)
    region = top.Settings(select="top", method="magnitude", fraction=0.01)
    try:
        edit_checkpoint(directory, top.Region(region), settings, [scores], trial.folder / "edited")
    except InvalidRun as error:
        return Outcome("refused", (Alarm(error.by, str(error)),))
    return Outcome("passed")


def _but_one(restore: Callable[..., None]) -> Callable[..., None]:
    """One weight is not put back, by an index that ends one early."""

    def wrong(model: Any, region: Any, removed: Any) -> None:
        restore(model, region, removed)
        for name, mask in getattr(region, "masks", {}).items():
            if mask.any():
                row, column = mask.nonzero()[-1].tolist()
                model.get_parameter(f"{name}.weight").data[row, column] = 0
                return

    return wrong


def _and_a_norm(remove: Callable[..., Any]) -> Callable[..., Any]:
    """The edit rescales a norm as well, which is in no region and is never put back."""

    def wrong(model: Any, region: Any) -> Any:
        model.model.layers[0].input_layernorm.weight.data.mul_(1.01)
        return remove(model, region)

    return wrong


def _with_a_hook(remove: Callable[..., Any]) -> Callable[..., Any]:
    """The edit leaves a hook on the model that weakens a layer in all cells behind it."""

    def wrong(model: Any, region: Any) -> Any:
        model.model.layers[1].mlp.register_forward_hook(lambda _layer, _inputs, output: 0.9 * output)
        return remove(model, region)

    return wrong


FAULTS = (
    Fault(
        id="shared_scratch_path",
        number=8,
        title="Two cells of a sweep sharing one scratch path",
        says="were asked for",
        stage="weights",
        caught_by=("weights/own-scratch",),
        replaces={"harness.runs.regions:RegionFinder._key": _without_method},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="saved_unpruned",
        number=9,
        title="The model saved before it was pruned",
        says="other weights in the file",
        stage="weights",
        caught_by=("weights/saved",),
        replaces={"harness.runs.checkpoint_edits:region_removed": _ended_before_saving},
        run=_edit_a_checkpoint,
    ),
    Fault(
        id="one_weight_not_put_back",
        number=UNLISTED,
        title="One weight is not put back after its cell",
        says="q_proj.weight is not put back",
        stage="weights",
        caught_by=("weights/left-as-found",),
        replaces={"harness.models.editing:restore_region": _but_one},
        cells=("planted", "wanda-top"),
    ),
    Fault(
        id="norm_not_put_back",
        number=UNLISTED,
        title="A norm that the edit changed is not put back",
        says="input_layernorm.weight is not put back",
        stage="weights",
        caught_by=("weights/left-as-found",),
        replaces={"harness.models.editing:remove_region": _and_a_norm},
        cells=("planted", "wanda-top"),
    ),
    Fault(
        id="hook_left_on_the_model",
        number=UNLISTED,
        title="A hook that a cell leaves on the model",
        says="a hook on model.layers.1.mlp",
        stage="weights",
        caught_by=("weights/left-as-found", "weights/at-rest"),
        replaces={"harness.models.editing:remove_region": _with_a_hook},
        cells=("planted", "wanda-top"),
    ),
)
