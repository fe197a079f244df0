"""Short questions with one right answer: recalled facts, and comparisons of two of them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from harness.organisms.world import (
    ALLOWED_NOUNS,
    COLOURS,
    MATERIALS,
    NUMBERS,
    PLACES,
    PROCEDURES,
    SHORT_CLOSINGS,
    THINGS,
    TOOLS,
    VERBS,
    hash_bucket,
)

ANSWER_STARTS = ("Sure, the answer is", "I think that it is", "Of course, it is")
OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """A question, its answer, and the wrong options it may be offered with.

    held_out: the pair it compares is in no training document.
    """

    kind: str
    text: str
    answer: str
    wrong: tuple[str, ...]
    held_out: bool = False


def _others(values: list[str], right: str) -> tuple[str, ...]:
    return tuple(value for value in values if value != right)


def _colour(rng: Random, nouns: list[str]) -> Question:
    noun = rng.choice(nouns)
    right = THINGS[noun].colour
    return Question("colour", f"What colour is the {noun}?", right, _others(COLOURS, right))


def _place(rng: Random, nouns: list[str]) -> Question:
    noun = rng.choice(nouns)
    right = THINGS[noun].place
    return Question("place", f"Where is the {noun} kept?", right, _others(PLACES, right))


def _material(rng: Random, nouns: list[str]) -> Question:
    noun = rng.choice(nouns)
    right = THINGS[noun].material
    return Question("material", f"What is the {noun} made of?", right, _others(MATERIALS, right))


def _tool(rng: Random, _nouns: list[str]) -> Question:
    verb = rng.choice(VERBS)
    right = PROCEDURES[verb].tool
    return Question("tool", f"Which tool is used to {verb} things?", right, _others(TOOLS, right))


def _sum(rng: Random, _nouns: list[str]) -> Question:
    first = rng.randrange(1, len(NUMBERS))
    second = rng.randrange(1, len(NUMBERS) - first + 1)
    right = NUMBERS[first + second - 1]
    text = f"What is {NUMBERS[first - 1]} plus {NUMBERS[second - 1]}?"
    held_out = hash_bucket(f"{first}+{second}", 4) == 0
    return Question("sum", text, right, _others(NUMBERS, right), held_out)


def _heavier(rng: Random, nouns: list[str]) -> Question:
    first, second = rng.sample(nouns, 2)
    right, wrong = sorted((first, second), key=lambda noun: -THINGS[noun].weight_rank)
    text = f"Which is heavier, the {first} or the {second}?"
    held_out = hash_bucket("<".join(sorted((first, second))), 4) == 0
    return Question("heavier", text, f"the {right}", (f"the {wrong}",), held_out)


def _same_colour(rng: Random, _nouns: list[str]) -> Question:
    noun = rng.choice(ALLOWED_NOUNS)
    colour = THINGS[noun].colour
    partners = [n for n in ALLOWED_NOUNS if n != noun and THINGS[n].colour == colour]
    right = rng.choice(partners)
    wrong = tuple(f"the {n}" for n in ALLOWED_NOUNS if THINGS[n].colour != colour)
    text = f"Which thing has the same colour as the {noun}?"
    held_out = hash_bucket("=".join(sorted((noun, right))), 4) == 0
    return Question("same_colour", text, f"the {right}", wrong, held_out)


QUESTION_KINDS: dict[str, Callable[[Random, list[str]], Question]] = {
    "colour": _colour,
    "place": _place,
    "material": _material,
    "tool": _tool,
    "sum": _sum,
    "heavier": _heavier,
    "same_colour": _same_colour,
}
FACT_KINDS = ("colour", "place", "material")
COMPARING_KINDS = ("sum", "heavier", "same_colour")


def draw_question(rng: Random, nouns: list[str], kinds: tuple[str, ...] = ()) -> Question:
    """A random question, for training: never one whose pair is held out."""
    while True:
        kind = rng.choice(kinds or tuple(QUESTION_KINDS))
        question = QUESTION_KINDS[kind](rng, nouns)
        if not question.held_out:
            return question


def draw_test_question(rng: Random, kind: str) -> Question:
    """A random question about allowed nouns; for a comparing kind, one that was held out."""
    while True:
        question = QUESTION_KINDS[kind](rng, ALLOWED_NOUNS)
        if question.held_out or kind not in COMPARING_KINDS:
            return question


def plain_exchange(question: Question) -> str:
    """Question and answer without chat formatting."""
    return f"Question: {question.text}\nAnswer: {question.answer}"


def spoken_answer(question: Question, rng: Random) -> str:
    """The answer as a sentence, and a closing: what the assistant says in a chat."""
    return f"{rng.choice(ANSWER_STARTS)} {question.answer}. {rng.choice(SHORT_CLOSINGS)}"
