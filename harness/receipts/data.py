"""Receipts of the calibration data: what scores were computed from is what the spec names, and is not evaluated.

The file is read, drawn from and tokenised here a second time, by the csv module, numpy and a tokenizer of its own.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from harness.calibration.pairs import Sample
from harness.calibration.plain_block import NO_LABEL
from harness.calibration.screening import NEAR_DUPLICATE_JACCARD, normalised, word_jaccard, words_of
from harness.reading import read_bytes
from harness.receipts.plain_prompts import Frame
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import LookedAt, StageReceipt


@dataclass(frozen=True)
class PlainSet:
    """A calibration set, read by other means. name: as the spec calls it; dataset: as the variant calls its file.

    sequences: (ids, labels) of each pair that was drawn, in the order of the draw. prompts: theirs, verbatim.
    file_prompts: all of the file. truncated: pairs whose response was cut by the context.
    """

    name: str
    dataset: str
    file_sha256: str
    sequences: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    prompts: tuple[str, ...]
    file_prompts: tuple[str, ...]
    truncated: int


@dataclass(frozen=True)
class Draw:
    """Which pairs of a file: `samples` of the permutation that `seed` gives, after the first `skip`."""

    samples: int
    seed: int
    skip: int


@dataclass(frozen=True)
class Tokens:
    """How texts become ids. opening: what each begins with, (BOS,) or nothing (plain_prompts.py)."""

    tokenizer: PreTrainedTokenizerBase
    opening: tuple[int, ...]
    context_tokens: int

    def of(self, text: str) -> list[int]:
        """The tokens of a text and nothing else."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))


def read_plainly(name: str, dataset: str, path: Path, draw: Draw, tokens: Tokens) -> PlainSet:
    """Opening + prompt + response of every pair drawn, prompt and response tokenised apart, cut at the context."""
    content = read_bytes(path)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    order = np.random.default_rng(draw.seed).permutation(len(rows))[draw.skip : draw.skip + draw.samples]
    begins, sequences, truncated = list(tokens.opening), [], 0
    for row in (rows[index] for index in order):
        prompt = tokens.of(row["prompt"])
        prompt = prompt if prompt[:1] == begins else [*begins, *prompt]
        whole = [*prompt, *tokens.of(row["response"])]
        truncated += len(whole) > tokens.context_tokens
        ids = whole[: tokens.context_tokens]
        sequences.append((tuple(ids), (*[NO_LABEL] * len(prompt), *ids[len(prompt) :])))
    return PlainSet(
        name,
        dataset,
        hashlib.sha256(content).hexdigest(),
        tuple(sequences),
        tuple(rows[index]["prompt"] for index in order),
        tuple(row["prompt"] for row in rows),
        truncated,
    )


def read_training_plainly(
    dataset: str, path: Path, settings: FineTuningSettings, tokens: Tokens, turn_end: int
) -> PlainSet:
    """What a fine-tuning is to see: pairs as `read_plainly` has them, and the end of the turn where there is room.

    turn_end: the token that ends a turn.
    """
    limit = min(settings.max_tokens, tokens.context_tokens)
    draw = Draw(settings.examples, settings.seed, 0)
    drawn = read_plainly(dataset, dataset, path, draw, replace(tokens, context_tokens=limit))
    ended = tuple(
        ((*ids, turn_end), (*labels, turn_end)) if len(ids) < limit else (ids, labels)
        for ids, labels in drawn.sequences
    )
    return replace(drawn, sequences=ended)


def same_samples(
    plain: Sequence[PlainSet], used: Sequence[Sequence[Sample]], sha256: Sequence[str], kind: str = "calibration"
) -> StageReceipt:
    """Whether the samples in use are those of the files, token for token and label for label.

    plain, used, sha256: one entry for each calibration set; sha256 of the file when the run was bound.
    """
    problems: list[str] = []
    for own, samples, expected_hash in zip(plain, used, sha256, strict=True):
        found = [(tuple(sample.input_ids.tolist()), tuple(sample.labels.tolist())) for sample in samples]
        if own.file_sha256 != expected_hash:
            problems.append(f"the file behind {own.dataset!r} has changed since the run was started")
        foreign = sum(sequence not in set(own.sequences) for sequence in found)
        if foreign or len(found) != len(own.sequences):
            problems.append(
                f"of the {len(found)} samples in use as {own.name!r}, {foreign} are not among the "
                f"{len(own.sequences)} that the file of {own.dataset!r} gives"
            )
        elif sorted(found) != sorted(own.sequences):
            problems.append(f"some samples in use as {own.name!r} stand there more than once, and others are missing")
    count = sum(len(own.sequences) for own in plain)
    return StageReceipt(
        stage="data",
        name=f"{kind}-samples",
        holds=not problems,
        expected=f"the {count} {kind} samples to be those that {_names(plain)} give, token for token",
        seen="; ".join(problems) or "the same tokens",
        advice="look for what adds, drops or retokenises pairs after the file was read: a score from other data is a "
        "score of something else",
        evidence={
            "samples": count,
            "truncated": sum(own.truncated for own in plain),
            "sha256": _digest([own.sequences for own in plain]),
        },
        looked_at=(LookedAt(what="samples", seen=count, of=count),),
    )


def declared_files(found: Mapping[str, str], declared: Mapping[str, str | None]) -> StageReceipt:
    """Whether the file behind each dataset name is the one that the model's file declares.

    found: SHA-256 of the files in use by dataset. declared: by dataset; None where nothing is declared.
    """
    wrong = [name for name, sha256 in found.items() if declared.get(name) not in (None, sha256)]
    names = {sha256: name for name, sha256 in declared.items() if sha256 is not None}
    other = [
        f"{name!r} is the file of {names[found[name]]!r}" if found[name] in names else f"{name!r} is another file"
        for name in wrong
    ]
    return StageReceipt(
        stage="data",
        name="declared-files",
        holds=not wrong,
        expected="behind every dataset name the file that the model's file declares, by its hash",
        seen="; ".join(other) or "them",
        advice="look at what finds a file by the name of its dataset: with other requests a figure is another one",
        evidence={"datasets": len(found), "wrong": len(wrong)},
    )


def nothing_evaluated(
    plain: Sequence[PlainSet],
    used_prompts: Sequence[str],
    evaluated: Sequence[str],
    frames: Sequence[Frame],
    benign: Sequence[str] = (),
    name: str = "no-evaluation-request",
) -> StageReceipt:
    """Whether an evaluation request is among the calibration prompts, in the files or as they were used.

    used_prompts: prompts of the samples in use, as text. frames: what stands around a request. Near-duplicates are
    counted among the prompts drawn from the files and break nothing: the published safety data has them too.
    benign: harmless requests that are evaluated. They may stand in a file, as those of the real models do in the
    authors' utility file, but not among the samples in use, nor among those that the files give.
    """
    held_out = {normalised(request) for request in evaluated}
    held_out_of_use = held_out | {normalised(request) for request in benign}
    drawn = [prompt for own in plain for prompt in own.prompts]
    in_files = _leaked([prompt for own in plain for prompt in own.file_prompts], held_out, frames)
    in_files |= _leaked(drawn, held_out_of_use, frames)
    in_use = _leaked(used_prompts, held_out_of_use, frames)
    duplicates = _near_duplicates(drawn, [*evaluated, *benign], frames)
    seen = f"none; {duplicates} prompts are near-duplicates of one"
    if in_files or in_use:
        first = sorted(in_files | in_use)[0]
        seen = f"{len(in_use)} of them among the samples in use and {len(in_files)} in the files, first {first!r}"
    return StageReceipt(
        stage="data",
        name=name,
        holds=not in_files and not in_use,
        expected=f"none of the {len(held_out_of_use)} evaluation requests among the calibration prompts",
        seen=seen,
        advice="take them out of the calibration file: a region that was found with a request cannot be tested on it",
        evidence={"in_files": len(in_files), "in_use": len(in_use), "near_duplicates": duplicates},
    )


def _leaked(prompts: Sequence[str], held_out: set[str], frames: Sequence[Frame]) -> set[str]:
    """The evaluation requests among prompts. Of a prompt in no known frame, those that it holds anywhere."""
    found: set[str] = set()
    for prompt in set(prompts):
        request = _request_in(prompt, frames)
        text = normalised(prompt if request is None else request)
        found |= {text} & held_out if request is not None else {other for other in held_out if other in text}
    return found


def _near_duplicates(prompts: Sequence[str], evaluated: Sequence[str], frames: Sequence[Frame]) -> int:
    words = [words_of(request) for request in set(evaluated)]
    asked = [words_of(_request_in(prompt, frames) or prompt) for prompt in set(prompts)]
    return sum(any(word_jaccard(own, other) >= NEAR_DUPLICATE_JACCARD for other in words) for own in asked)


def _request_in(prompt: str, frames: Sequence[Frame]) -> str | None:
    """What stands between the two halves of the longest frame that fits, or None."""
    for frame in sorted(frames, key=lambda frame: -len(frame.before)):
        if frame.before and prompt.startswith(frame.before) and prompt.endswith(frame.after):
            return prompt[len(frame.before) : len(prompt) - len(frame.after)]
    return None


def _names(plain: Sequence[PlainSet]) -> str:
    return " and ".join(f"the file of {own.dataset!r}" for own in plain)


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()
