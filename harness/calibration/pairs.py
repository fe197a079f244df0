"""Calibration sets: CSV files of prompt and response, drawn with a seed and tokenised."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.opening import opened, opening
from harness.models.prompts import token_ids
from harness.reading import read_unmarked
from harness.spec.variant import OWN_TEMPLATE

IGNORED = -100
#: Share of a batch that may be padding: less would make many small batches.
LARGEST_PADDING = 0.1


@dataclass(frozen=True)
class Pair:
    """A prompt, verbatim as the model sees it after its opening (chat template included), and its response.

    place: file and line that it ends in, for whoever has to mend it.
    """

    prompt: str
    response: str
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Sample:
    """One tokenised pair: input_ids (T,) behind the opening, labels (T,) with -100 off the response."""

    input_ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Right-padded samples: input_ids and labels (B, T). Padding carries no label."""

    input_ids: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.input_ids.to(device), self.labels.to(device))


def read_pairs(path: Path) -> list[Pair]:
    """Rows of a CSV file with the columns prompt and response; others are ignored.

    Raises UserError with the line of the first row that has no response, or more fields than there are columns.
    """
    reader = csv.DictReader(io.StringIO(read_unmarked(path), newline=""))
    try:
        columns = list(reader.fieldnames or ())
        for name in ("prompt", "response"):
            if columns.count(name) != 1:
                found = "is missing" if name not in columns else f"is there {columns.count(name)} times"
                raise UserError(f"{path}:1: the column {name!r} {found}; expected prompt,response")
        pairs = []
        for row in reader:
            if None in row:
                raise UserError(
                    f"{path}:{reader.line_num}: the row has {len(columns) + len(row[None])} fields, and there are "
                    f"{len(columns)} columns; expected text with a comma in it in quotes"
                )
            if not row["prompt"] or not (row["response"] or "").strip():
                raise UserError(f"{path}:{reader.line_num}: a row needs a prompt and a response that are not empty")
            pairs.append(Pair(row["prompt"], row["response"], f"{path}:{reader.line_num}"))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a CSV file: {error}") from None
    if not pairs:
        raise UserError(f"{path}: holds no pair")
    return pairs


def draw(pairs: Sequence[Pair], samples: int, seed: int, skip: int = 0) -> list[Pair]:
    """`samples` pairs in the order of numpy's default_rng(seed).permutation, after the first `skip` of them.

    That is the order of datasets.Dataset.shuffle(seed), which the published code uses. Asking for
    more than there are is an error: the spec would not say what was measured.
    """
    if skip + samples > len(pairs):
        after = f" after the first {skip}" if skip else ""
        raise UserError(f"{samples} samples{after} were asked for, but the file holds {len(pairs)} pairs")
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[index] for index in order[skip : skip + samples]]


def tokenise(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, context_tokens: int, template: str = OWN_TEMPLATE
) -> list[Sample]:
    """Opening + prompt + response, prompt and response tokenised apart, labels on the response only.

    template: the variant's, which says what texts begin with (models/opening.py).
    The published code drops the first response token on the assumption that it is BOS; here no
    special token is added to the response, so none has to be dropped (docs/decisions/14-first-response-token.md).
    Raises UserError, with file and line, for a prompt that leaves no room for its response or holds a BOS.
    """
    samples, begins = [], opening(tokenizer, template)
    for index, pair in enumerate(pairs):
        try:
            samples.append(_tokenised(pair, tokenizer, context_tokens, begins))
        except UserError as error:
            raise UserError(f"{pair.place or f'pair {index}'}: {error}") from None
    return samples


def _tokenised(pair: Pair, tokenizer: PreTrainedTokenizerBase, context_tokens: int, begins: tuple[int, ...]) -> Sample:
    prompt = opened(tokenizer, token_ids(tokenizer, pair.prompt), begins)
    ids = (prompt + token_ids(tokenizer, pair.response))[:context_tokens]
    if len(ids) <= len(prompt):
        raise UserError(
            f"the prompt has {len(prompt)} tokens of the {context_tokens} that fit, and no response is left; expected "
            "a shorter prompt, or more tokens (context_tokens of the variant, max_tokens of a fine-tuning)"
        )
    return Sample(torch.tensor(ids), torch.tensor([IGNORED] * len(prompt) + ids[len(prompt) :]))


def batches(samples: Sequence[Sample], batch_tokens: int, padding_id: int = 0) -> list[Batch]:
    """Samples of similar length together, at most `batch_tokens` tokens (padding counted) in a batch.

    No more than LARGEST_PADDING of a batch is padding, which costs as much as tokens do.
    """
    ordered = sorted(samples, key=lambda sample: len(sample.input_ids))
    groups: list[list[Sample]] = []
    for sample in ordered:
        if groups and _fits(groups[-1], len(sample.input_ids), batch_tokens):
            groups[-1].append(sample)
        else:
            groups.append([sample])
    return [pad(group, padding_id) for group in groups]


def _fits(group: Sequence[Sample], longest: int, batch_tokens: int) -> bool:
    """Whether a sample of `longest` tokens, no fewer than any in the group, may join it."""
    size = (len(group) + 1) * longest
    tokens = longest + sum(len(sample.input_ids) for sample in group)
    return size <= batch_tokens and size - tokens <= LARGEST_PADDING * size


def pad(group: Sequence[Sample], padding_id: int = 0) -> Batch:
    """One batch, padded on the right to the longest sample (B, T)."""
    length = max(len(sample.input_ids) for sample in group)
    ids = torch.full((len(group), length), padding_id)
    labels = torch.full((len(group), length), IGNORED)
    for row, sample in enumerate(group):
        ids[row, : len(sample.input_ids)] = sample.input_ids
        labels[row, : len(sample.labels)] = sample.labels
    return Batch(ids, labels)


def samples_sha256(samples: Sequence[Sample]) -> str:
    """Hash of the token ids and labels: what a score was computed from, whatever the file is called."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(repr((sample.input_ids.tolist(), sample.labels.tolist())).encode())
    return digest.hexdigest()
