"""From two files of requests to a probe of every attention head."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from harness.calibration.files import read_lines
from harness.errors import UserError
from harness.formulas.probing import split_train_validation, validation_hits
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.probing.activations import head_outputs
from harness.probing.heads import HeadProbe
from harness.spec.probing import ProbeSettings


@dataclass(frozen=True)
class ProbePrompts:
    """Token ids of the prompts of both classes, BOS included."""

    harmful: list[list[int]]
    harmless: list[list[int]]

    @property
    def sha256(self) -> str:
        """Hash of the token ids: what a probe was fitted to, whatever the files are called."""
        return hashlib.sha256(repr((self.harmful, self.harmless)).encode()).hexdigest()


def read_prompts(settings: ProbeSettings, formatter: PromptFormatter, path_of: Callable[[str], Path]) -> ProbePrompts:
    """The requests of both datasets as the model is prompted with them. Raises UserError as `read_requests` does."""
    style = PromptStyle(settings.system_prompt, settings.chat_template)
    ids = [
        [formatter.ids(formatter.text(request, style)) for request in part] for part in read_requests(settings, path_of)
    ]
    return ProbePrompts(*ids)


def read_requests(settings: ProbeSettings, path_of: Callable[[str], Path]) -> tuple[list[str], list[str]]:
    """The harmful and the harmless requests.

    Raises UserError where a dataset holds fewer than are asked for, or one request is in both.
    """
    requests = {}
    for dataset in settings.datasets:
        requests[dataset] = read_lines(path_of(dataset))
        if len(requests[dataset]) < (settings.prompts or 2):
            raise UserError(
                f"the dataset {dataset!r} holds {len(requests[dataset])} requests, "
                f"{settings.prompts or 'at least 2'} are asked for"
            )
    harmful, harmless = (requests[dataset][: settings.prompts] for dataset in settings.datasets)
    if shared := sorted(set(harmful) & set(harmless)):
        raise UserError(
            f"{settings.harmful!r} and {settings.harmless!r} share {len(shared)} requests, so that no "
            f"probe can tell them apart; first {shared[0]!r}"
        )
    return harmful, harmless


def probe_heads(model: PreTrainedModel, prompts: ProbePrompts, seed: int) -> HeadProbe:
    """A logistic regression on the output of each head at the last prompt token, harmful against harmless.

    All heads have the same 5:2 split, stratified by class and drawn with `seed`. The model is
    probed as it is, edits included.
    Source: Wei et al. 2024, section 4.1 and appendix C.4.
    """
    outputs = head_outputs(model, [*prompts.harmful, *prompts.harmless])  # (n, blocks, heads, size)
    labels = torch.arange(len(outputs)) < len(prompts.harmful)
    split = split_train_validation(labels, seed)
    # One block at a time: in float64 the features of all blocks of a large model would be gigabytes.
    hits = [validation_hits(outputs[:, block], labels, split) for block in range(outputs.shape[1])]
    return HeadProbe(torch.stack(hits, dim=1))
