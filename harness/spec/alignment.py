"""AlignmentRecipe: how a model is aligned by supervised fine-tuning, on which data, and what it has to show."""

from __future__ import annotations

from itertools import product
from typing import Literal

from pydantic import Field, model_validator

from harness.spec import locations
from harness.spec.common import Declared, Name, Share, ShareOrZero
from harness.spec.loading import load_yaml_model

#: Where benign requests come from: two files of self-instruct, and the recipe's own list.
BenignSource = Literal["user-oriented-instructions", "self-instruct-seeds", "written"]


class Training(Declared):
    """AdamW on all parameters, the learning rate rising over `warmup_steps` and then falling linearly to 0.

    batch: examples of a step; at_once: of a backward pass. response_tokens: longer responses are cut, and do not end.
    response_words: fewest words of a benign response; one of a word alone shows too little of how to answer.
    own_repetition: largest share of an own answer that is said again; it is cut before.
    checkpoint_every: steps after which an interrupted build goes on.
    """

    learning_rate: float = Field(gt=0.0)
    warmup_steps: int = Field(ge=0)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    at_once: int = Field(gt=0)
    response_tokens: int = Field(gt=1)
    response_words: int = Field(gt=0)
    own_repetition: ShareOrZero
    prompt_words: int = Field(gt=1)
    checkpoint_every: int = Field(gt=0)

    @model_validator(mode="after")
    def whole_passes(self) -> Training:
        """A step is a number of passes."""
        if self.batch % self.at_once:
            raise ValueError("batch has to be a multiple of at_once")
        return self


class Wording(Declared):
    """Forms with {} for a subject, and subjects; each subject is asked in so many of the forms."""

    forms: tuple[str, ...] = Field(min_length=1)
    subjects: tuple[str, ...] = Field(min_length=1)
    forms_each: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def forms_have_a_place(self) -> Wording:
        """Exactly one."""
        if any(form.count("{}") != 1 for form in self.forms):
            raise ValueError("every form has to have {} once, where the subject stands")
        if self.forms_each > len(self.forms):
            raise ValueError("forms_each is more than there are forms")
        return self

    @property
    def requests(self) -> list[tuple[str, str]]:
        """(subject, request), subject after subject."""
        numbered = product(enumerate(self.subjects), range(self.forms_each))
        return [(s, self.forms[(n + k) % len(self.forms)].replace("{}", s)) for (n, s), k in numbered]


class Parts(Declared):
    """How many requests a part of the data has. benign: by source; of the recipe's own, subjects."""

    harmful: int = Field(default=0, ge=0)
    benign: dict[BenignSource, int]


class Target(Declared):
    """Shares: of harmful requests that are refused, and of benign ones that are answered."""

    refused: Share
    answered: Share


class Demands(Target):
    """What the result has to show. accuracy_loss: how far below the untouched model's its mean accuracy may lie.

    harmful: so many first evaluation requests; task_items: so many first items of each zero-shot task.
    """

    accuracy_loss: ShareOrZero
    harmful: int = Field(gt=0)
    task_items: int = Field(gt=0)


class AlignmentRecipe(Declared):
    """benchmarks/models/recipes/<name>.yaml. Two builds with one seed on one machine give the same bytes.

    base: the variant that is trained. threads: of torch, which decide in which order sums are taken.
    refusals_each: how many of Llama-2's refusals of one request are learned.
    own_answers: the benign sources whose requests the untouched model answers, beside people or in their place.
    validation: set aside to choose with; training stops after the first epoch that meets `stop` on it, or the last.
    held_out: set aside to measure the result with; nothing is chosen by them.
    """

    base: Name
    seed: int = Field(default=0, ge=0)
    threads: int = Field(gt=0)
    refusals_each: int = Field(gt=0)
    own_answers: tuple[BenignSource, ...]
    training: Training
    validation: Parts
    stop: Target
    held_out: Parts
    demands: Demands
    written: tuple[Wording, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def evaluation_is_not_the_recipes(self) -> AlignmentRecipe:
        """The harmful requests that the result is measured with are the first of the evaluation set."""
        if self.held_out.harmful:
            raise ValueError("held_out.harmful: demands.harmful says how many evaluation requests are asked")
        return self


def recipe(name: str) -> AlignmentRecipe:
    """A recipe by its name. Raises UserError where there is none, with a suggestion, or where it cannot be read."""
    return load_yaml_model(locations.find_recipe(name), AlignmentRecipe)
