"""Fault 9: the checkpoint is written outside the edit; its receipt tells of an edit that the file does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import InvalidRun
from harness.faults.base import Alarm, Outcome, Trial
from harness.faults.seam import replaced
from harness.models.loading import source_directory
from harness.runs.checkpoint_edits import edit_checkpoint
from harness.runs.checkpoints import score_checkpoint
from harness.spec.loading import load_yaml_model
from harness.spec.region import AttributionSettings, TopRegion
from harness.spec.variant import ModelVariant

NUMBER = 9
TITLE = "The model saved before it was pruned"
CAUGHT_BY = ("weights/saved",)


@contextmanager
def injected() -> Iterator[None]:
    """The published code saved before it pruned (main.py:250)."""
    with replaced("harness.runs.checkpoint_edits:region_removed", _ended_before_saving):
        yield


def _ended_before_saving(removed: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def wrong(*args: Any) -> Iterator[Any]:
        with removed(*args) as edit:
            pass
        yield edit

    return wrong


def run(trial: Trial) -> Outcome:
    """`harness score` and `harness edit` on the organism's own checkpoint."""
    directory = source_directory(load_yaml_model(trial.variant, ModelVariant), trial.variant)
    if directory is None:
        raise ValueError(f"{trial.variant} is no local checkpoint")
    settings, scores = AttributionSettings(), trial.folder / "scores.safetensors"
    score_checkpoint(directory, "magnitude", None, None, 0, settings, scores)
    region = TopRegion(select="top", method="magnitude", fraction=0.01)
    try:
        edit_checkpoint(directory, region, settings, [scores], trial.folder / "edited")
    except InvalidRun as error:
        return Outcome("refused", (Alarm(error.by, str(error)),))
    return Outcome("passed")
