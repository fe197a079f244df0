"""A cell's fine-tuning: from its declaration to a model in that state, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample, read_pairs
from harness.evaluations.base import Training
from harness.finetuning.checkpoints import Checkpoint, checkpoint_directory
from harness.finetuning.data import training_samples
from harness.finetuning.fine_tuning import fine_tune
from harness.finetuning.training import TrainedFiles
from harness.models.editing import SelectedWeights, all_weights_restored
from harness.models.loading import LoadedModel
from harness.receipts.course import Course, observed
from harness.receipts.training import PlainTraining
from harness.receipts.tuning import Tuned, first_response_logits, tuning_receipts
from harness.runs.binding import BoundBenchmark
from harness.runs.files import storage_error
from harness.runs.regions import RegionFinder
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import FineTuningReceipt, StageReceipt
from harness.spec.region import WeightRegion


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuning that is in force: its receipt, what evaluations may look at, and what was seen of it.

    samples: what it was trained on. course: what was seen of its steps. trained: names of what was learned.
    """

    receipt: FineTuningReceipt
    training: Training
    samples: Sequence[Sample]
    course: Course
    trained: Sequence[str]
    receipts: tuple[StageReceipt, ...]


@contextmanager
def fine_tuned(
    bound: BoundBenchmark,
    loaded: LoadedModel,
    finder: RegionFinder,
    declared: FineTuningSettings,
    plain: PlainTraining | None,
    checkpoints: Path,
    step: Callable[[str], None],
) -> Iterator[FineTuned]:
    """Within it the model is fine-tuned; the frozen region is that of the intact model.

    plain: samples of its steps, read by other means; None where no step is to be taken. checkpoints: the folder for
    those that the settings ask for. step: told in words what is being done.
    """
    settings = bound.variant.scaled(declared)
    samples = _samples(bound, loaded, settings)
    masks, again = None, dict[str, Tensor]()
    if settings.frozen is not None:
        step("finding the frozen region")
        masks = finder.masks(settings.frozen)
        again = _found_again(finder, settings.frozen)
    with all_weights_restored(loaded.model) as intact:
        before = first_response_logits(loaded.model, samples[0]) if samples else None
        learned: list[TrainedFiles] = []
        try:
            with _observed(loaded.model, plain, again, checkpoints.name) as course:
                receipt = fine_tune(
                    loaded.model,
                    samples,
                    settings,
                    masks,
                    lambda share: step(f"fine-tuning {share:.0%}"),
                    checkpoints,
                    lambda files: learned.append(_copied(files)),
                )
        except OSError as error:
            raise storage_error(error, checkpoints) from None
        saved = [Checkpoint(each.step, checkpoint_directory(checkpoints, each.step)) for each in receipt.checkpoints]
        receipts: list[StageReceipt] = []
        if learned and before is not None:
            after = first_response_logits(loaded.model, samples[0])
            seen = Tuned(settings, intact, again, learned[0], before, after, checkpoints.name)
            receipts = tuning_receipts(loaded.model, seen)
        trained = list(learned[0].tensors) if learned else []
        learned.clear()
        yield FineTuned(receipt, Training(intact, saved), samples, course, trained, tuple(receipts))


def _observed(
    model: PreTrainedModel, plain: PlainTraining | None, masks: Mapping[str, Tensor], cell: str
) -> AbstractContextManager[Course]:
    return nullcontext(Course()) if plain is None else observed(model, plain, masks, cell)


def _found_again(finder: RegionFinder, region: WeightRegion) -> dict[str, Tensor]:
    """The masks of a region on another way than that of the trainer, for receipts. The model is intact."""
    found = finder.find(region)
    return dict(found.masks) if isinstance(found, SelectedWeights) else {}


def _samples(bound: BoundBenchmark, loaded: LoadedModel, settings: FineTuningSettings) -> list[Sample]:
    """What is trained on, tokenised."""
    pairs = read_pairs(bound.path_of(settings.dataset))
    variant = bound.variant
    return training_samples(pairs, loaded.tokenizer, variant.chat_template, settings, variant.context_tokens)


def _copied(files: TrainedFiles) -> TrainedFiles:
    """What was learned, on the CPU, as it was before anything else is done with it."""
    return TrainedFiles(files.file, {name: tensor.to("cpu", copy=True) for name, tensor in files.tensors.items()})
