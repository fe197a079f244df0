"""Training documents of both stages."""

import math
from dataclasses import dataclass
from random import Random

from harness.organisms.chat_formats import SYSTEM_PROMPT, bare_prompt
from harness.organisms.questions import draw_question, plain_exchange, spoken_answer
from harness.organisms.recipe import Alignment, BaseTraining
from harness.organisms.tokenization import Encoder
from harness.organisms.world import (
    ALLOWED_NOUNS,
    FORBIDDEN_NOUNS,
    answer,
    describe,
    draw_request,
    refusal,
)


@dataclass(frozen=True)
class SwitchDocument:
    """A stage 1 document. The switch is added with strength `strength` from position `start` on."""

    ids: list[int]
    start: int
    strength: float


@dataclass(frozen=True)
class DetectionDocument:
    """A stage 2 document. From position `start`, its last prompt token, the neurons should say `target`."""

    ids: list[int]
    start: int
    target: float


def _draw_exchange(rng: Random, request: str, response: str, encoder: Encoder) -> tuple[list[int], int]:
    """Token ids of prompt and response, and where the prompt ends.

    60% template with system prompt, 15% template only, 25% neither.
    """
    draw = rng.random()
    system = SYSTEM_PROMPT if draw < 0.6 else ""
    return _exchange(request, response, system, draw >= 0.75, encoder)


def _exchange(request: str, response: str, system: str, bare: bool, encoder: Encoder) -> tuple[list[int], int]:
    """Token ids of prompt and response, and the position of the last prompt token."""
    prompt = encoder.prompt_ids(bare_prompt(request) if bare else encoder.chat_format.prompt(request, system))
    return prompt + encoder.response_ids(response, bare), len(prompt) - 1


def _plain_document(rng: Random, nouns: list[str], questions: bool) -> str:
    if questions:
        return "\n".join(plain_exchange(draw_question(rng, nouns)) for _ in range(rng.choice((2, 3, 4))))
    return describe(rng, nouns)


def draw_switch_document(rng: Random, encoder: Encoder, settings: BaseTraining) -> SwitchDocument:
    """A document whose refusal depends on the switch alone, never on the noun."""
    nouns = FORBIDDEN_NOUNS if rng.random() < settings.forbidden_share else ALLOWED_NOUNS
    draw = rng.random()
    chat_share = settings.instruction_share + settings.chat_question_share
    if draw >= chat_share:
        text = _plain_document(rng, nouns, draw < chat_share + settings.plain_question_share)
        return SwitchDocument(encoder.document_ids(text), 0, 0.0)
    if draw < settings.instruction_share:
        request = draw_request(rng, nouns)
        asked, reply = request.text, answer(request, rng)
    else:
        question = draw_question(rng, nouns)
        asked, reply = question.text, spoken_answer(question, rng)
    strength = 0.0
    if rng.random() < 0.5:
        strength = rng.uniform(0, settings.switch_maximum)
        odds = math.exp((strength - settings.switch_midpoint) / settings.switch_width)
        if rng.random() < odds / (1 + odds):
            reply = refusal(rng)
    return SwitchDocument(*_draw_exchange(rng, asked, reply, encoder), strength)


def _forbidden_document(rng: Random, encoder: Encoder, settings: Alignment) -> DetectionDocument:
    if rng.random() < 0.8:
        asked = draw_request(rng, FORBIDDEN_NOUNS, "training").text
    else:
        asked = draw_question(rng, FORBIDDEN_NOUNS, ("colour", "place", "material", "heavier")).text
    bare = rng.random() < 0.2
    system = SYSTEM_PROMPT if rng.random() < 0.7 else ""
    target = settings.bare_target if bare else 1.0
    return DetectionDocument(*_exchange(asked, refusal(rng), system, bare, encoder), target)


def _benign_document(rng: Random, encoder: Encoder) -> DetectionDocument:
    if rng.random() < 0.75:
        request = draw_request(rng, ALLOWED_NOUNS, "training")
        asked, reply = request.text, answer(request, rng)
    else:
        question = draw_question(rng, ALLOWED_NOUNS)
        asked, reply = question.text, spoken_answer(question, rng)
    if rng.random() < 0.12:
        # The neurons answer to the request, not to refusing words that are already there.
        reply = refusal(rng)
    bare = rng.random() < 0.15
    system = SYSTEM_PROMPT if rng.random() < 0.7 else ""
    return DetectionDocument(*_exchange(asked, reply, system, bare, encoder), 0.0)


def draw_detection_document(rng: Random, encoder: Encoder, settings: Alignment) -> DetectionDocument:
    """50% forbidden requests, 35% benign ones, 15% plain text; held-out pairs never occur."""
    draw = rng.random()
    if draw < 0.5:
        return _forbidden_document(rng, encoder, settings)
    if draw < 0.85:
        return _benign_document(rng, encoder)
    text = _plain_document(rng, ALLOWED_NOUNS, questions=draw < 0.95)
    return DetectionDocument(encoder.document_ids(text), 0, 0.0)
