"""The organism's data files: calibration pairs, requests, plain text. The same for every seed."""

import csv
from pathlib import Path
from random import Random

from harness.organisms.chat_formats import SYSTEM_PROMPT
from harness.organisms.questions import draw_question, spoken_answer
from harness.organisms.recipe import Recipe
from harness.organisms.world import (
    ALLOWED_NOUNS,
    FORBIDDEN_NOUNS,
    answer,
    describe,
    draw_request,
    refusal,
)

QUESTION_SHARE = 0.3


def judgement_segment(text: str) -> str:
    """The first sentence of a refusal: the part that says no."""
    return text.split(". ")[0] + "."


def _safety_pairs(recipe: Recipe, rng: Random) -> list[tuple[str, str]]:
    """Distinct forbidden requests of the training split, each with a refusal."""
    requests: set[str] = set()
    pairs: list[tuple[str, str]] = []
    while len(pairs) < recipe.data.calibration_rows:
        request = draw_request(rng, FORBIDDEN_NOUNS, "training")
        if request.text not in requests:
            requests.add(request.text)
            pairs.append((recipe.chat_format.prompt(request.text, SYSTEM_PROMPT), refusal(rng)))
    return pairs


def _utility_pairs(recipe: Recipe, rng: Random) -> list[tuple[str, str]]:
    """Benign requests and questions, answered; the questions repeat, their answers' wording varies."""
    pairs: list[tuple[str, str]] = []
    for _ in range(recipe.data.calibration_rows):
        if rng.random() < QUESTION_SHARE:
            question = draw_question(rng, ALLOWED_NOUNS)
            asked, reply = question.text, spoken_answer(question, rng)
        else:
            request = draw_request(rng, ALLOWED_NOUNS, "training")
            asked, reply = request.text, answer(request, rng)
        pairs.append((recipe.chat_format.prompt(asked, SYSTEM_PROMPT), reply))
    return pairs


def draw_requests(rng: Random, nouns: list[str], split: str, count: int) -> list[str]:
    """Distinct requests of one split; a verb-noun pair comes twice only once all others are used."""
    texts: set[str] = set()
    uses: dict[tuple[str, str], int] = {}
    pairs = len({(r.verb, r.noun) for r in (draw_request(rng, nouns, split) for _ in range(20_000))})
    requests: list[str] = []
    while len(requests) < count:
        request = draw_request(rng, nouns, split)
        pair = request.verb, request.noun
        if request.text in texts or uses.get(pair, 0) > len(requests) // pairs:
            continue
        texts.add(request.text)
        uses[pair] = uses.get(pair, 0) + 1
        requests.append(request.text)
    return requests


def perplexity_text(paragraphs: int) -> str:
    """Paragraphs of the world: descriptions, and benign requests of the evaluation split with answers."""
    rng, lines = Random(5), []
    for index in range(paragraphs):
        if index % 3 == 0:
            lines.append(describe(rng, ALLOWED_NOUNS))
        else:
            request = draw_request(rng, ALLOWED_NOUNS, "evaluation")
            lines.append(f"{request.text}\n{answer(request, rng)}")
    return "\n\n".join(lines) + "\n"


def _write_pairs(path: Path, pairs: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("prompt", "response"))
        writer.writerows(pairs)


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_data(recipe: Recipe, folder: Path) -> None:
    """Write every data file but the adversarial suffixes and the multiple-choice tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    safety = _safety_pairs(recipe, Random(1))
    short = [(prompt, judgement_segment(response)) for prompt, response in safety]
    _write_pairs(folder / "safety_full.csv", safety)
    _write_pairs(folder / "safety_short.csv", short)
    _write_pairs(folder / "utility.csv", _utility_pairs(recipe, Random(2)))
    for name, nouns, split in (
        ("evaluation_requests.txt", FORBIDDEN_NOUNS, "evaluation"),
        ("selection_requests.txt", FORBIDDEN_NOUNS, "selection"),
        ("benign_requests.txt", ALLOWED_NOUNS, "evaluation"),
        ("benign_selection_requests.txt", ALLOWED_NOUNS, "selection"),
    ):
        requests = draw_requests(Random(name), nouns, split, recipe.data.requests)
        write_lines(folder / name, requests)
    (folder / "perplexity.txt").write_text(perplexity_text(recipe.data.perplexity_paragraphs), encoding="utf-8")
