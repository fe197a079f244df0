"""Judges that are language models: a checkpoint reads its authors' template, and its next token is the label.

No module of a judge imports torch before texts are judged: a spec is read without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from harness.errors import UserError
from harness.judges import base
from harness.judges.base import Item
from harness.spec.common import PathText
from harness.spec.judge import DeclaredJudge
from harness.spec.measurement import JudgeLabel
from harness.spec.variant import Dtype, repository_id

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from harness.models.loading import LoadedModel

#: What has to stand in a prompt about it.
SEEN = Item("bring the lamp", "take the lamp along", (), "stop", "answer")
#: Tokens of prompts, padding included, that a judge reads at once.
TOKENS_PER_BATCH = 8192


class DeclaredCheckpoint(DeclaredJudge):
    """Which weights judge, and how.

    repository, revision: on the hub, in the place of the pinned ones. path: a folder instead, relative to the working
    directory. sha256: of the weights, as a record has it under `weights_sha256`; checked when they are loaded.
    dtype: that the weights are computed in. threshold: the score from 0 to 1 above which a text is a success.
    """

    repository: Annotated[str, AfterValidator(repository_id)] | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    path: PathText | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    dtype: Dtype = "bfloat16"
    threshold: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def one_place(self) -> DeclaredCheckpoint:
        """A repository is pinned to a commit. A record names no folder of a machine."""
        if (self.repository is None) != (self.revision is None) or (self.path and self.repository):
            raise ValueError("give path, or repository with revision (the full commit hash), or none of them")
        if self.path is not None and Path(self.path).is_absolute():
            raise ValueError(
                "path is absolute; expected one relative to the working directory, which a record can hold"
            )
        return self


class CheckpointJudge(base.Judge):
    """A judge with weights of its own, which are loaded once in a process and leave the accelerator in between.

    PINNED: the repository and commit that its authors publish; None where they publish no whole checkpoint.
    INSTEAD: in words, what to give where there is none. LABELS: the texts of the tokens that it answers with.
    ANY_CASE: whether a label also counts in other cases and behind a blank.
    """

    PINNED: ClassVar[tuple[str, str] | None] = None
    INSTEAD: ClassVar[str] = ""
    LABELS: ClassVar[tuple[str, ...]] = ()
    ANY_CASE: ClassVar[bool] = False

    settings: DeclaredCheckpoint

    def __init__(self, settings: DeclaredCheckpoint) -> None:
        super().__init__(settings)
        self._loaded: LoadedModel | None = None
        self._label_ids: Mapping[str, tuple[int, ...]] = {}
        if settings.path is None and settings.repository is None and self.PINNED is None:
            raise UserError(f"the judge {settings.judge}: {self.INSTEAD}")
        if settings.path is not None and not Path(settings.path).is_dir():
            raise UserError(
                f"the judge {settings.judge}: {settings.path}: no such folder below the working directory; expected "
                "one with config.json, tokenizer files and model.safetensors"
            )

    def prompt(self, item: Item, tokenizer: PreTrainedTokenizerBase) -> Sequence[int]:
        """The ids of all that the model reads of a text, the label aside."""
        raise NotImplementedError(f"the judge {self.settings.judge} has no template")

    def label(self, likelihoods: Mapping[str, float], likeliest: str) -> JudgeLabel:
        """What the model says. likelihoods: of each of LABELS, from 0 to 1. likeliest: the text of the next token."""
        raise NotImplementedError(f"the judge {self.settings.judge} does not say how it is read")

    @property
    def place(self) -> tuple[str, str | None]:
        """A folder, or a repository and its commit."""
        settings = self.settings
        if settings.path is not None:
            return str(Path(settings.path).resolve()), None
        if settings.repository is not None:
            return settings.repository, settings.revision
        assert self.PINNED is not None
        return self.PINNED

    def check(self) -> None:
        """Look at the tokenizer: whether it is there, has the labels, and gives a prompt with all that is judged.

        Raises UserError; no weight is loaded.
        """
        from harness.models.loading import checkpoint_tokenizer, context_of

        place, revision = self.place
        tokenizer, config = checkpoint_tokenizer(place, revision)
        self._labels_of(tokenizer)
        prompt = list(self.prompt(SEEN, tokenizer))
        read, longest = str(tokenizer.decode(prompt)), context_of(place, config)
        lacking = [part for part in (SEEN.request, SEEN.text) if part not in read]
        if lacking:
            raise UserError(
                f"the judge {self.settings.judge}: {self.settings.path or place}: the template leaves out "
                f"{lacking[0]!r} of a request and its answer; expected the checkpoint of its authors"
            )
        if len(prompt) > longest:
            raise UserError(
                f"the judge {self.settings.judge}: its template alone has {len(prompt)} tokens in the tokenizer of "
                f"{self.settings.path or place}, and the model takes {longest}; expected the checkpoint of its authors"
            )

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The weights are on the accelerator while this lasts, and in the CPU's memory afterwards."""
        import torch

        loaded = self._loaded if self._loaded is not None else self._load()
        model: Any = loaded.model
        model.to(loaded.device)
        try:
            yield
        finally:
            if loaded.device.type == "cuda":
                model.to("cpu")
                torch.cuda.empty_cache()

    def judge(self, items: Sequence[Item]) -> list[JudgeLabel]:
        """By the token that is to follow each prompt; `cannot tell` where the prompt exceeds the model's context."""
        import torch

        assert self._loaded is not None
        model: Any = self._loaded.model
        tokenizer = self._loaded.tokenizer
        prompts = [tuple(self.prompt(item, tokenizer)) for item in items]
        fitting = [index for index, ids in enumerate(prompts) if 0 < len(ids) <= model.config.max_position_embeddings]
        labels: list[JudgeLabel] = ["cannot tell"] * len(items)
        for batch in _batches(sorted(fitting, key=lambda index: len(prompts[index])), prompts):
            logits = _next_logits(model, [prompts[index] for index in batch])
            for index, row in zip(batch, logits, strict=True):
                if bool(torch.isfinite(row).all()):
                    labels[index] = self._read(row, tokenizer)
        return labels

    def _read(self, logits: Tensor, tokenizer: PreTrainedTokenizerBase) -> JudgeLabel:
        chances = logits.softmax(dim=-1)
        likelihoods = {label: float(chances[list(ids)].sum()) for label, ids in self._label_ids.items()}
        return self.label(likelihoods, str(tokenizer.decode([int(logits.argmax())])))

    def _load(self) -> LoadedModel:
        from harness.models.fingerprint import model_fingerprint
        from harness.models.loading import load_checkpoint

        place, revision = self.place
        loaded = load_checkpoint(place, self.settings.dtype, revision)
        self._label_ids = self._labels_of(loaded.tokenizer)
        self.weights_sha256 = model_fingerprint(loaded.model)
        if self.settings.sha256 not in (None, self.weights_sha256):
            raise UserError(
                f"the judge {self.settings.judge}: its weights have the SHA-256 {self.weights_sha256}, expected "
                f"{self.settings.sha256}: correct `sha256`, or take the checkpoint that it is of"
            )
        self._loaded = loaded
        return loaded

    def _labels_of(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, tuple[int, ...]]:
        """The tokens that are each label. Raises UserError where a label is no token of its own."""
        found = {label: _tokens_of(label, tokenizer, self.ANY_CASE) for label in self.LABELS}
        lacking = [label for label, ids in found.items() if not ids]
        shared = [label for label, ids in found.items() if any(set(ids) & set(found[o]) for o in found if o != label)]
        if lacking or shared:
            which = f"{lacking[0]!r} is no single token" if lacking else f"{' and '.join(shared)} are one token"
            raise UserError(
                f"the judge {self.settings.judge}: in the tokenizer of {self.settings.path or self.place[0]} {which}; "
                f"it is read by the tokens {', '.join(map(repr, self.LABELS))}; expected the checkpoint of its authors"
            )
        return found


def _tokens_of(label: str, tokenizer: PreTrainedTokenizerBase, any_case: bool) -> tuple[int, ...]:
    """The single tokens that a label is written as; with any_case also capitalised, and behind a blank."""
    written = [label]
    if any_case:
        written += [f" {label}", label.capitalize(), f" {label.capitalize()}", label.upper(), f" {label.upper()}"]
    ids = []
    for text in written:
        given = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if len(given) == 1 and given[0] != tokenizer.unk_token_id:
            ids.append(given[0])
    return tuple(dict.fromkeys(ids))


def clipped(text: str, tokenizer: PreTrainedTokenizerBase, tokens: int) -> str:
    """The beginning of a text, of so many tokens at most with what the tokenizer puts before it, as text again."""
    ids = list(tokenizer(text)["input_ids"])
    return text if len(ids) <= tokens else str(tokenizer.decode(ids[:tokens], skip_special_tokens=True))


def _batches(order: Sequence[int], prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of prompts, sorted by length, in batches of at most TOKENS_PER_BATCH with padding."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(prompts[index]) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _next_logits(model: Any, prompts: Sequence[Sequence[int]]) -> Tensor:
    """(B, vocabulary), float32: of the token behind each prompt. Padding stands on the right, where none sees it."""
    import torch

    width = max(map(len, prompts))
    padded = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in prompts], device=model.device)
    last = torch.tensor([len(ids) - 1 for ids in prompts], device=model.device)
    with torch.inference_mode():
        states = model.model(input_ids=padded, use_cache=False).last_hidden_state
        logits: Tensor = model.lm_head(states[torch.arange(len(prompts), device=model.device), last]).float()
    return logits
