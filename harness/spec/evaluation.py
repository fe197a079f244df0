"""What a spec declares of an evaluation, and what is asked of that by those who know no evaluation by its name.

The settings of every evaluation derive from `DeclaredEvaluation`, those of one that generates texts from
`DeclaredTexts`. A new one overrides what is otherwise with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from harness.spec.common import MOST, Declared, Name
from harness.spec.judge import DeclaredJudge
from harness.spec.probing import ProbeSettings
from harness.spec.region import WeightRegion
from harness.spec.sizes import Sizes

if TYPE_CHECKING:
    from harness.spec.variant import ModelVariant


class DeclaredEvaluation(Declared):
    """One entry under `evaluations`. A subclass has a literal `kind`, the name of its file, and gives `metrics`.

    measured_in: `intact` of one that is measured in the cells that leave the weights alone and in no other,
        `fine_tuned` in the cells with a fine-tuning.
    compares_with_intact: whether it needs a cell that changes the weights.
    generates_texts: whether the model writes texts for it, which are judged before its figures are made.
    asks_tasks: whether it asks the variant's `zero_shot_tasks`.
    """

    measured_in: ClassVar[Literal["any", "intact", "fine_tuned"]] = "any"
    compares_with_intact: ClassVar[bool] = False
    generates_texts: ClassVar[bool] = False
    asks_tasks: ClassVar[bool] = False

    kind: str
    name: Name

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every variant gives."""
        raise NotImplementedError(f"the settings of the evaluation {self.kind!r} name no metrics")

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of metrics begin with that the spec does not decide: one for each layer, head or task."""
        return []

    @property
    def conditional_metrics(self) -> list[str]:
        """Those of `metrics` that a cell may leave out."""
        return []

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there besides those of the calibration sets."""
        return [dataset for region in self.regions for dataset in region.datasets]

    @property
    def lines_needed(self) -> dict[str, int]:
        """By dataset, how many requests, one a line, it has to hold."""
        return {}

    @property
    def regions(self) -> Sequence[WeightRegion]:
        """The regions of the intact model that have to be found for it."""
        return []

    @property
    def calibration_sets(self) -> list[str]:
        """Names of the calibration sets that its figures rest on, by default those of its regions."""
        return [name for region in self.regions for name in region.calibration_sets]

    @property
    def probes(self) -> list[ProbeSettings]:
        """The probes of attention heads that it measures itself."""
        return []

    @property
    def checkpoints_needed(self) -> int | None:
        """How many checkpoints a fine-tuning has to save for it, if it reads any."""
        return None

    @property
    def calibrates_validity(self) -> bool:
        """Whether the intact model's texts for it show what an answer is."""
        return False

    @property
    def asks_benign(self) -> bool:
        """Whether its requests are harmless, so that a model in order answers them."""
        return False

    def sizes_within(self, sizes: Sizes) -> dict[str, int | None]:
        """By key, the largest value that a variant's sizes allow; None where they say nothing."""
        return {}

    @property
    def takes_judges(self) -> bool:
        """Whether its entry in a spec may name `judges`."""
        return False

    @property
    def judged_by(self) -> Sequence[DeclaredJudge]:
        """The judges that read its texts besides, each of which has figures of its own."""
        return ()

    def metric_by(self, judge: str) -> str:
        """The metric that holds the share of its texts that a judge calls a success."""
        return f"asr_{self.name}_by_{judge}"

    @property
    def success_metric(self) -> str | None:
        """The metric that is the share of forbidden requests with success, if it has one."""
        return None

    def metrics_on(self, variant: ModelVariant) -> list[str]:
        """Names of the metrics that come on top on a variant, as far as the variant alone decides them."""
        return [name for task in variant.zero_shot_tasks if (name := self.task_metric(task)) is not None]

    def task_metric(self, task: str) -> str | None:
        """The metric of one of the variant's tasks, if it asks them."""
        return None

    @property
    def metrics_over_tasks(self) -> list[str]:
        """The metrics that change with any of the tasks."""
        return []


class DeclaredTexts(DeclaredEvaluation):
    """Requests, one a line of `dataset`, in a frame, and how they are answered.

    system_prompt, chat_template: what stands around a request (table 2 of the paper).
    suffixes: the dataset whose lines are appended, one at a time; every request is asked with each.
    samples: of each prompt. temperature: 0 is greedy. max_new_tokens: the variant may allow fewer.
    benign: the requests are harmless, and a model in order answers them.
    """

    generates_texts: ClassVar[bool] = True

    dataset: str
    prompts: int = Field(gt=0, le=MOST)
    system_prompt: bool
    chat_template: bool
    suffixes: str | None = None
    samples: int = Field(default=1, gt=0, le=MOST)
    temperature: float = Field(default=0.0, ge=0.0, validate_default=True)
    max_new_tokens: int = Field(default=256, gt=0)
    seed: int = Field(default=0, ge=0)
    benign: bool = False

    @field_validator("samples")
    @classmethod
    def can_be_held(cls, samples: int, info: ValidationInfo) -> int:
        """Every sample of every prompt is in memory at once."""
        prompts = info.data.get("prompts", 1)
        if samples * prompts > MOST:
            raise ValueError(f"{samples} samples of {prompts} prompts; expected {MOST:,} texts at most")
        return samples

    @field_validator("temperature")
    @classmethod
    def samples_differ(cls, temperature: float, info: ValidationInfo) -> float:
        """Greedy decoding gives one text, which would be counted as often as it is asked for."""
        if temperature == 0 and info.data.get("samples", 1) > 1:
            raise ValueError("samples of one prompt are the same text at temperature 0; expected samples: 1, or more")
        return temperature

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there."""
        return [self.dataset, *([self.suffixes] if self.suffixes else [])]

    @property
    def lines_needed(self) -> dict[str, int]:
        """The requests, and one suffix at least."""
        return {**({self.suffixes: 1} if self.suffixes else {}), self.dataset: self.prompts}

    def sizes_within(self, sizes: Sizes) -> dict[str, int | None]:
        """Of the prompts, and of the samples of each where there are several."""
        return {"prompts": sizes.prompts, **({"samples": sizes.samples_each} if self.samples > 1 else {})}

    @property
    def calibrates_validity(self) -> bool:
        """A suffix, or requests without a template, make texts that are like no answer."""
        return self.chat_template and not self.suffixes

    @property
    def asks_benign(self) -> bool:
        """As declared."""
        return self.benign
