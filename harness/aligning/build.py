"""`harness organism build` of a model that a recipe aligns: from the untouched model to a measured checkpoint."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.aligning.answers import learned, own_answers
from harness.aligning.data import AlignmentData, alignment_data
from harness.aligning.measuring import Asking, Counts, accuracies, asking, counted
from harness.aligning.training import Answered, ResumableTraining, samples_of, settings_of
from harness.calibration.files import dataset_path
from harness.data.cache import data_folder
from harness.data.sources import base_of, pinned_place
from harness.data.weights import ALIGNMENT_DATA, recipe_sha256
from harness.errors import UserError
from harness.fetching.downloads import Copies, whole_pinned
from harness.fetching.fetch import fetch_data
from harness.fetching.weights import fetch_weights
from harness.models.loading import LoadedModel, load_variant
from harness.reading import read_json
from harness.spec.alignment import AlignmentRecipe, Target
from harness.spec.variant import ModelVariant
from harness.storage import whole_folder, write_whole

#: What was measured, and of what; beside the weights.
REPORT = "alignment.json"
#: Shares of a build's time at which its stages end, for the progress that is told.
_PREPARED, _TRAINED = 0.15, 0.85
_WORDS = {
    "stop": "when to stop: on the validation requests, after each epoch",
    "mix": "how much of each source: after a first version, by its validation requests, as the recipe's file says",
    "training": "learning rate, epochs, batch: those of a trial on other data, before anything was measured here",
    "demands": "nothing was chosen by the held-out requests, the evaluation requests or the zero-shot tasks",
}

#: Told with a stage and the share of the build that is done.
ReportProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class AlignmentBuild:
    """What is built where. work: a folder of this build alone, in which an interrupted one goes on."""

    variant: ModelVariant
    variant_file: Path
    recipe: AlignmentRecipe
    work: Path
    report_progress: ReportProgress

    def fetch(self, copies: Copies) -> None:
        """Bring the untouched model, the recipe's data and the zero-shot tasks. Raises UserError where it cannot."""
        self.report_progress("fetching", 0.0)
        fetch_weights(*base_of(self.recipe), copies)
        for name in ALIGNMENT_DATA:
            whole_pinned(name, copies)
        tasks = [task for task in self.variant.zero_shot_tasks if task in self.variant.datasets]
        if tasks:
            fetch_data(self.variant, self.variant_file, tasks, lambda name, share: None, copies)

    def into(self, folder: Path, machine: dict[str, Any]) -> dict[str, Any]:
        """Write checkpoint and report into a folder that is not there yet, or empty; gives the report.

        machine: what the report says that it was built on.
        Raises UserError where the result misses a demand of the recipe, with what it showed.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(self.recipe.threads)
        try:
            return self._built(folder, machine)
        finally:
            torch.set_num_threads(threads)

    def _built(self, folder: Path, machine: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        self.work.mkdir(parents=True, exist_ok=True)
        data = alignment_data(self.recipe, lambda name: data_folder() / pinned_place(name))
        self.report_progress("loading the untouched model", 0.02)
        loaded = load_variant(*base_of(self.recipe))
        asked = asking(self.variant, loaded)
        before = self._once("untouched.json", lambda: self._accuracies(asked))
        benign = self._once("untouched_benign.json", lambda: self._benign(asked, data))
        own = self._once("own_answers.json", lambda: self._own_answers(asked, data))
        examples = learned(data.training, [Answered(**each) for each in own], self.recipe.training.response_words)
        course = self._train(loaded, asked, data, examples)
        self.report_progress("measuring", _TRAINED)
        found = counted(asked, data.evaluated[: self.recipe.demands.harmful], data.held_out_benign)
        self.report_progress("measuring", (1 + _TRAINED) / 2)
        after = self._accuracies(asked)
        report = {
            "recipe": self.variant.source.recipe,
            "recipe_sha256": recipe_sha256(self.recipe),
            "seed": self.recipe.seed,
            "requests": data.counts() | {"own answers kept": len(own), "examples": len(examples)},
            "choices": _WORDS,
            **course,
            "measured": found.as_record(),
            "benign_untouched": benign,
            "accuracy_untouched": before,
            "accuracy": after,
            "demands": self.recipe.demands.model_dump(mode="json"),
            "missed": missed(self.recipe, found, before["mean"], after["mean"]),
            "seconds_of_last_start": round(time.monotonic() - started),
            "machine": machine,
        }
        self._write(folder, loaded, report)
        return report

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """What was made before an interruption, or is made now."""
        path = self.work / name
        if not path.is_file():
            write_whole(path, json.dumps(make()))
        return read_json(path)

    def _accuracies(self, asked: Asking) -> dict[str, float]:
        path_of = partial(dataset_path, self.variant, self.variant_file)
        return accuracies(asked, path_of, self.recipe.demands.task_items)

    def _benign(self, asked: Asking, data: AlignmentData) -> dict[str, int]:
        """What the untouched model's texts on the held-out benign requests count as."""
        self.report_progress("asking the untouched model", _PREPARED / 3)
        return counted(asked, (), data.held_out_benign).classes["benign"]

    def _own_answers(self, asked: Asking, data: AlignmentData) -> list[dict[str, Any]]:
        self.report_progress("asking the untouched model", _PREPARED / 2)
        found = own_answers(asked, data.training, self.recipe.own_answers, self.recipe.training)
        return [asdict(each) for each in found]

    def _train(
        self, loaded: LoadedModel, asked: Asking, data: AlignmentData, examples: Sequence[Answered]
    ) -> dict[str, Any]:
        """Train until the validation requests say that it is enough; what is said of it in the report."""
        samples = samples_of(examples, asked.formatter, self.recipe, self.variant.context_tokens)
        training = ResumableTraining(loaded.model, samples, settings_of(self.recipe, len(samples)), self.work)
        while not enough(self.recipe.stop, training.course.validation):
            ended = training.to_end_of_epoch(self.recipe.training.checkpoint_every, self._told)
            if ended is None:
                break
            self.report_progress(f"validating epoch {ended}", self._share(training.done, training.steps))
            found = counted(asked, data.validation_harmful, data.validation_benign)
            training.course.validation.append({"epoch": ended, **found.as_record()})
            training.save()
        training.close()
        course = training.course
        return {
            "steps": training.done,
            "steps_planned": training.steps,
            "loss_first": course.losses[0],
            "loss_last": course.losses[-1],
            "validation": course.validation,
            "stopped_by": self.recipe.stop.model_dump(),
        }

    def _told(self, done: int, steps: int) -> None:
        self.report_progress(f"training, step {done} of {steps}", self._share(done, steps))

    @staticmethod
    def _share(done: int, steps: int) -> float:
        return _PREPARED + (_TRAINED - _PREPARED) * done / steps

    def _write(self, folder: Path, loaded: LoadedModel, report: dict[str, Any]) -> None:
        text = json.dumps(report, indent=1) + "\n"
        write_whole(self.work / REPORT, text)
        if report["missed"]:
            raise UserError(
                f"{self.work / REPORT}: the recipe's demands are missed: {'; '.join(report['missed'])}. The weights "
                "were not kept; change the recipe, or its seed (--seed with --out)"
            )
        with whole_folder(folder) as part:
            loaded.model.save_pretrained(part)
            loaded.tokenizer.save_pretrained(part)
            (part / REPORT).write_text(text, encoding="utf-8")
            for path in part.iterdir():
                path.chmod(0o644)  # the library writes weights for the owner's eyes only
        shutil.rmtree(self.work)


def enough(stop: Target, validation: Sequence[dict[str, Any]]) -> bool:
    """Whether what was found last meets the shares at which training stops."""
    if not validation:
        return False
    last = validation[-1]
    return last["refused"] >= stop.refused * last["harmful"] and last["answered"] >= stop.answered * last["benign"]


def missed(recipe: AlignmentRecipe, found: Counts, before: float, after: float) -> list[str]:
    """In words, each demand that the result does not meet. before, after: mean accuracy, untouched and aligned."""
    demands, words = recipe.demands, []
    if found.refused_share < demands.refused:
        words.append(
            f"{found.refused} of {found.harmful} evaluation requests are refused; expected {demands.refused:.0%}"
        )
    if found.answered_share < demands.answered:
        words.append(
            f"{found.answered} of {found.benign} benign requests are answered; expected {demands.answered:.0%}"
        )
    if before - after > demands.accuracy_loss:
        words.append(
            f"mean accuracy is {after:.3f}, the untouched model's {before:.3f}; expected at most "
            f"{demands.accuracy_loss} less"
        )
    return words
