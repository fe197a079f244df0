"""The requests of an alignment recipe by what they are for, each decided by its own hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.calibration.files import read_lines
from harness.calibration.pairs import read_pairs
from harness.calibration.screening import normalised, screen
from harness.errors import UserError
from harness.fetching.recipes import (
    EVALUATED_REQUESTS,
    Wrapping,
    requests_of,
    self_instruct_requests,
    self_instruct_tasks,
)
from harness.spec.alignment import AlignmentRecipe, BenignSource
from harness.spec.variant import OWN_TEMPLATE

#: Gives the file behind the name of pinned data.
PinnedPath = Callable[[str], Path]
Item = TypeVar("Item")
_SELF_INSTRUCT: tuple[BenignSource, ...] = ("user-oriented-instructions", "self-instruct-seeds")


@dataclass(frozen=True)
class Example:
    """A request to learn, and its response; None where that is to be the untouched model's own. group: its source."""

    request: str
    response: str | None
    group: str


@dataclass(frozen=True)
class AlignmentData:
    """What a recipe learns, what it chooses by, and what it measures with; no request is in two of them.

    evaluated: the benchmarks' evaluation requests, all of them.
    """

    training: tuple[Example, ...]
    validation_harmful: tuple[str, ...]
    validation_benign: tuple[str, ...]
    held_out_benign: tuple[str, ...]
    evaluated: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Requests by what they are for; those that are learned, by source."""
        by_group: dict[str, int] = {}
        for example in self.training:
            by_group[f"training {example.group}"] = by_group.get(f"training {example.group}", 0) + 1
        parts = {
            "validation harmful": self.validation_harmful,
            "validation benign": self.validation_benign,
            "held-out benign": self.held_out_benign,
        }
        return by_group | {name: len(part) for name, part in parts.items()}


def alignment_data(recipe: AlignmentRecipe, pinned: PinnedPath) -> AlignmentData:
    """Split all requests. Raises UserError where a file holds too few, or is none of its kind."""
    evaluated = read_lines(pinned("advbench"))[:EVALUATED_REQUESTS]
    harmful, refusals = _harmful(recipe, pinned, evaluated)
    groups = _benign(recipe, pinned)
    validation: list[str] = []
    held_out: list[str] = []
    training = list(refusals)
    for group, examples in groups.items():
        ordered = _by_hash(examples, lambda example: example.request)
        first, second = recipe.held_out.benign.get(group, 0), recipe.validation.benign.get(group, 0)
        if group == "written":
            held, chosen, learned = _by_subject(recipe, first, second)
        else:
            held = [example.request for example in ordered[:first]]
            chosen = [example.request for example in ordered[first : first + second]]
            learned = ordered[first + second :]
        if len(held) < first or len(chosen) < second or not learned:
            raise UserError(f"the recipe asks for {first + second} of the benign requests {group}: there are too few")
        held_out += held
        validation += chosen
        training += learned
    return AlignmentData(tuple(training), tuple(harmful), tuple(validation), tuple(held_out), tuple(evaluated))


def _harmful(recipe: AlignmentRecipe, pinned: PinnedPath, evaluated: Sequence[str]) -> tuple[list[str], list[Example]]:
    """Requests to validate with, and Llama-2's refusals of others: of attribution requests alone.

    None is an evaluation request or a near-duplicate of one.
    """
    attribution = read_lines(pinned("advbench"))[EVALUATED_REQUESTS:]
    fit = _by_hash(screen(attribution, evaluated, keep_near_duplicates=False).fit, str)
    validation, rest = fit[: recipe.validation.harmful], {normalised(text) for text in fit[recipe.validation.harmful :]}
    path = pinned("safety-short")
    pairs = read_pairs(path)
    responses: dict[str, list[Example]] = {}
    for request, pair in zip(requests_of(pairs, path), pairs, strict=True):
        if normalised(request) in rest:
            responses.setdefault(normalised(request), []).append(Example(request, pair.response.strip(), "refusals"))
    kept = [_by_hash(each, lambda one: one.response or "")[: recipe.refusals_each] for each in responses.values()]
    if len(validation) < recipe.validation.harmful or not kept:
        raise UserError(f"{path}: holds too few refusals of attribution requests")
    return validation, [example for some in kept for example in some]


def _benign(recipe: AlignmentRecipe, pinned: PinnedPath) -> dict[BenignSource, list[Example]]:
    """Benign requests by source, none of them one that the benchmarks ask: answered by people, or yet by nobody."""
    plain = Wrapping(OWN_TEMPLATE, None)
    asked = {normalised(line) for line in self_instruct_requests(pinned("self-instruct-seeds"), plain).splitlines()}
    groups: dict[BenignSource, list[Example]] = {}
    for group in _SELF_INSTRUCT:
        groups[group] = [
            Example(task.request, task.output, group)
            for task in self_instruct_tasks(pinned(group))
            if normalised(task.request) not in asked and len(task.request.split()) <= recipe.training.prompt_words
        ]
    groups["written"] = []
    return groups


def _by_subject(recipe: AlignmentRecipe, held_out: int, validation: int) -> tuple[list[str], list[str], list[Example]]:
    """The recipe's own requests: one of each subject that is set aside, and all of the others."""
    asked = [pair for wording in recipe.written for pair in wording.requests]
    subjects = _by_hash(dict.fromkeys(subject for subject, _ in asked), str)
    first = dict(reversed(asked))
    aside = set(subjects[: held_out + validation])
    return (
        [first[subject] for subject in subjects[:held_out]],
        [first[subject] for subject in subjects[held_out : held_out + validation]],
        [Example(request, None, "written") for subject, request in asked if subject not in aside],
    )


def _by_hash(items: Iterable[Item], text_of: Callable[[Item], str]) -> list[Item]:
    """In the order of the SHA-256 of their texts: a request's place hangs on nothing but itself."""
    return sorted(items, key=lambda item: hashlib.sha256(text_of(item).encode()).hexdigest())
