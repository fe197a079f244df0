"""What receipts compare with: made by other means, once in a process, and kept for all cells of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.attribution.base import PlainScores, method
from harness.calibration.plain_block import PlainBlock, Sequences, plain_block
from harness.formulas.draws import drawn, in_turn
from harness.models.golden_prompts import read_golden_prompts
from harness.models.layers import transformer_blocks
from harness.models.loading import checkpoint_files, load_stop_tokens, load_tokenizer
from harness.models.prompts import turn_end_token_id
from harness.probing.again import Classes, Probed, drawn_heads, probed
from harness.receipts import loaded
from harness.receipts.data import Draw, PlainSet, Tokens, read_plainly, read_training_plainly
from harness.receipts.plain_grams import plain_grams
from harness.receipts.plain_prompts import Frame, as_texts, before_answers, frame, opening
from harness.receipts.plain_text import plain_lines
from harness.receipts.prompts import AskedPrompts, own_ids
from harness.receipts.recent import Recent
from harness.receipts.requests import DeclaredRequest
from harness.receipts.training import PlainTraining, plain_training
from harness.regions.base import GRAM
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.evaluation import DeclaredTexts
from harness.spec.finetuning import FineTuningSettings
from harness.spec.golden_prompts import GoldenPrompts
from harness.spec.probing import ProbeSettings
from harness.spec.receipt import StageReceipt
from harness.spec.region import AttributionSettings
from harness.spec.variant import ModelVariant

#: Of every block a few samples are scored, and so many rows kept, to see that scores are of that block at all.
SUBSAMPLED_ROWS = 32
#: Blocks whose scores are computed a second time for each cell. Of four blocks no two can hide one another's fault.
PLAIN_BLOCKS = 2


@dataclass(frozen=True)
class Wanted:
    """Scores or Grams of one block.

    measure: the method's name, or GRAM. name, seed: of the calibration set and of the draw from it; no name for a
    method without data, and no seed for the set's own.
    """

    measure: str
    name: str | None
    seed: int | None
    settings: AttributionSettings
    block: int

    @property
    def decides(self) -> tuple[object, ...]:
        """What they depend on."""
        settings = self.settings
        return (
            self.measure,
            self.name,
            self.seed,
            settings.loss_reduction,
            settings.activation_positions,
            self.block,
        )


@dataclass
class Reference:
    """Of one spec on one variant. model: the one that is measured; it has to be intact where scores are asked for.

    path_of gives the file behind a dataset name.
    """

    spec: BenchmarkSpec
    variant: ModelVariant
    variant_file: Path
    model: PreTrainedModel
    path_of: Callable[[str], Path]
    _kept: dict[object, Any] = field(default_factory=dict)
    _recent: Recent = field(default_factory=Recent)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The variant's tokenizer, read anew from its files."""
        return self._once("tokenizer", lambda: load_tokenizer(self.variant, self.variant_file))

    @property
    def opening(self) -> tuple[int, ...]:
        """What every text of the variant begins with: (BOS,), or nothing."""
        return self._once("opening", lambda: opening(self.variant, self.tokenizer))

    @property
    def before_answers(self) -> tuple[int, ...]:
        """What an answer is judged behind: the opening, or what begins an answer's turn where there is none."""
        return self._once("before answers", lambda: before_answers(self.variant, self.tokenizer))

    @property
    def _tokens(self) -> Tokens:
        return Tokens(self.tokenizer, self.opening, self.variant.context_tokens)

    def as_texts(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Prompts as text, without what they begin with."""
        return as_texts(ids, self.tokenizer, self.opening)

    @property
    def stop_tokens(self) -> frozenset[int]:
        """The tokens that end an answer, by the files of the checkpoint."""
        return self._once("stop tokens", lambda: load_stop_tokens(self.variant, self.variant_file))

    @property
    def golden_prompts(self) -> GoldenPrompts | None:
        """The variant's golden prompts, if it has any."""
        return self._once("golden prompts", lambda: read_golden_prompts(self.variant))

    def as_named(self, fingerprint: str) -> tuple[StageReceipt, ...]:
        """Whether the model, which is intact, is the one of its files. fingerprint: of it; it is looked at once."""
        return self._once(("as named", fingerprint), self._as_named)

    def _as_named(self) -> tuple[StageReceipt, ...]:
        files = checkpoint_files(self.variant, self.variant_file)
        computed = loaded.as_the_files_compute(self.model, files)
        named = loaded.as_named(self.model, files, self.variant.dtype)
        return (named,) if computed is None else (named, computed)

    @property
    def frames(self) -> list[Frame]:
        """What may stand around a request in a chat, with and without the system prompt."""
        return [frame(self.variant, self.tokenizer, system, True) for system in (True, False)]

    @property
    def evaluated(self) -> list[str]:
        """Every request that the spec evaluates, without benign ones."""
        return self._requests(benign=False)

    @property
    def benign(self) -> list[str]:
        """Every benign request that the spec evaluates."""
        return self._requests(benign=True)

    def _requests(self, benign: bool) -> list[str]:
        attacks = [entry for entry in self.spec.evaluations if entry.generates_texts and entry.asks_benign == benign]
        return [request for entry in attacks for request in self._lines(entry.dataset)[: entry.prompts]]

    def samples(self, name: str, seed: int | None) -> PlainSet:
        """A calibration set, read, drawn and tokenised anew."""
        declared = self.spec.calibration[name]
        draw = Draw(declared.samples, declared.seed if seed is None else seed, declared.skip)
        return self._once(
            (name, draw),
            lambda: read_plainly(name, declared.dataset, self.path_of(declared.dataset), draw, self._tokens),
        )

    def training(self, declared: FineTuningSettings) -> PlainTraining | None:
        """What a fine-tuning is to see, with the loss of its first step; None of one without steps. Intact model."""
        settings = self.variant.scaled(declared)
        return self._once(("training", settings), lambda: self._training(settings)) if settings.steps else None

    def _training(self, settings: FineTuningSettings) -> PlainTraining:
        path = self.path_of(settings.dataset)
        turn_end = turn_end_token_id(self.tokenizer, self.variant.chat_template)
        plain = read_training_plainly(settings.dataset, path, settings, self._tokens, turn_end)
        return plain_training(self.model, settings, plain)

    def block(self, index: int, name: str | None, seed: int | None) -> PlainBlock:
        """A block with the samples of a calibration set where they enter it; with none for a method without data."""
        if name is None:
            return self._entering(index, ())
        return cast(
            PlainBlock,
            self._recent.once((name, seed, index), lambda: self._entering(index, self.samples(name, seed).sequences)),
        )

    def measured(self, wanted: Wanted) -> dict[str, Tensor] | None:
        """By a method's plain definition; None where there is no such definition."""
        made = partial(self.block, wanted.block, wanted.name, wanted.seed)
        return self._recent.once(wanted.decides, lambda: _measured(wanted, made()))

    @property
    def blocks(self) -> int:
        """How many the model has."""
        return len(transformer_blocks(self.model))

    def blocks_of(self, cell: str) -> tuple[int, ...]:
        """The blocks that are measured by plain definitions for a cell: each in turn, so that many cells see all."""
        cells = self._once("cells", lambda: [each.id for each in self.spec.expanded_cells()])
        number = cells.index(cell) if cell in cells else 0
        return in_turn(number, f"blocks of {self.spec.id}", len(transformer_blocks(self.model)), PLAIN_BLOCKS)

    def of_a_subsample(self, wanted: Wanted, cell: str) -> dict[str, Tensor] | None:
        """As `measured`, of as few samples as the method needs, drawn for a cell; of the rows `subsampled_rows`."""
        sequences = self._sequences(wanted)
        size = method(wanted.measure).subsample_size
        chosen = drawn(cell, f"samples as {wanted.name}", len(sequences), size) if sequences else ()
        few = [sequences[place] for place in chosen]

        def made() -> dict[str, Tensor] | None:
            found = _measured(wanted, self._entering(wanted.block, few))
            return None if found is None else {layer: subsampled_rows(score).clone() for layer, score in found.items()}

        return self._once(("of_a_subsample", chosen, *wanted.decides), made)

    def measured_now(self, wanted: Wanted) -> dict[str, Tensor] | None:
        """As `measured`, of the model as it is, and not kept."""
        return _measured(wanted, self._entering(wanted.block, self._sequences(wanted)))

    def _sequences(self, wanted: Wanted) -> Sequences:
        return () if wanted.name is None else self.samples(wanted.name, wanted.seed).sequences

    def _entering(self, index: int, sequences: Sequences) -> PlainBlock:
        return plain_block(self.model, index, sequences) if sequences else PlainBlock(self.model, index)

    def asked(self, settings: DeclaredTexts) -> AskedPrompts:
        """What an evaluation that generates texts has to ask."""
        return self._once(("asked", settings), lambda: self._asked(settings))

    def own_ids(self, settings: DeclaredTexts) -> frozenset[tuple[int, ...]]:
        """The ids of every prompt of an evaluation that generates texts."""
        return self._once(("ids", settings), lambda: own_ids(self.asked(settings), self.tokenizer))

    def requests_of(self, settings: DeclaredTexts) -> list[DeclaredRequest]:
        """What the engine has to be asked for an evaluation, text by text."""
        return self._once(("requests", settings), lambda: list(self._requests_of(settings)))

    def _requests_of(self, settings: DeclaredTexts) -> Iterator[DeclaredRequest]:
        asked, limit = self.asked(settings), min(settings.max_new_tokens, self.variant.max_new_tokens)
        suffixes = len(self._lines(settings.suffixes)) if settings.suffixes else 1
        for place, request in enumerate(asked.requests):  # all suffixes of a request behind each other
            text = asked.frame.around(request)
            ids = (*self.opening, *self._tokens.of(text))
            for sample in range(settings.samples):
                seed = settings.seed, place // suffixes, place % suffixes, sample
                yield DeclaredRequest(ids, limit, settings.temperature, seed)

    def classes(self, settings: ProbeSettings) -> Classes:
        """The prompts that a probe has to tell apart."""
        return self._once(("classes", settings), lambda: self._classes(settings))

    def _classes(self, settings: ProbeSettings) -> Classes:
        around = frame(self.variant, self.tokenizer, settings.system_prompt, settings.chat_template)
        harmful, harmless = (
            [
                (*self.opening, *self._tokens.of(around.around(request)))
                for request in self._lines(name)[: settings.prompts]
            ]
            for name in settings.datasets
        )
        return Classes(harmful, harmless, settings.seed)

    def probed(self, settings: ProbeSettings, cell: str) -> list[Probed]:
        """A few attention heads of the model as it is, drawn for a cell, each with a probe of its own."""
        return probed(self.model, self.classes(settings), drawn_heads(cell, self.model))

    def _asked(self, settings: DeclaredTexts) -> AskedPrompts:
        requests = self._lines(settings.dataset)[: settings.prompts]
        if settings.suffixes:
            suffixes = self._lines(settings.suffixes)
            requests = [f"{request} {suffix}" for request in requests for suffix in suffixes]
        around = frame(self.variant, self.tokenizer, settings.system_prompt, settings.chat_template)
        wants = settings.system_prompt and settings.chat_template
        return AskedPrompts(settings.name, around, tuple(requests), self.variant.system_prompt, wants, self.opening)

    def _lines(self, dataset: str) -> list[str]:
        return plain_lines(self.path_of(dataset))

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _measured(wanted: Wanted, block: PlainBlock) -> dict[str, Tensor] | None:
    """In float32, so that those of a large model's block can be kept."""
    settings = wanted.settings
    found: PlainScores | None
    if wanted.measure == GRAM:
        found = plain_grams(block, settings)
    else:
        found = method(wanted.measure).plain_score(block, settings, wanted.seed or 0)
    return None if found is None else {name: tensor.float() for name, tensor in found.items()}


def subsampled_rows(matrix: Tensor) -> Tensor:
    """SUBSAMPLED_ROWS rows, evenly spread, or all where there are fewer."""
    return matrix[:: max(1, len(matrix) // SUBSAMPLED_ROWS)][:SUBSAMPLED_ROWS]
