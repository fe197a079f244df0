"""Watching a cell while it is measured: the receipts of weights, engine, logits, texts and scorer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.calibration.files import read_lines
from harness.engines.base import ScoreRequest
from harness.evaluations.base import Evaluation, evaluation
from harness.models.editing import FoundRegion
from harness.models.fingerprint import model_fingerprint
from harness.models.prompts import PromptStyle
from harness.receipts import decoding, engine, logits, text, weights
from harness.receipts.logits import Deviation
from harness.receipts.observed_engine import Observed, ObservedEngine
from harness.runs.bench import Bench, Learned
from harness.runs.fine_tuned import FineTuned
from harness.spec.benchmark import Cell
from harness.spec.result import Completion, Measurement, StageReceipt

#: Prompts of each evaluation whose first tokens are compared with a plain forward pass.
COMPARED_PROMPTS = 1


@dataclass
class CellWatch:
    """Looks on while one cell is measured; every step that it looks at calls it, in the order of the methods."""

    bench: Bench
    learned: Learned
    cell: Cell
    found: FoundRegion | None
    receipts: list[StageReceipt] = field(default_factory=list)
    _observed: dict[str, Observed] = field(default_factory=dict)
    _counted: dict[str, Sequence[Measurement]] = field(default_factory=dict)
    _compared: list[Deviation] = field(default_factory=list)
    _intact_surprise: tuple[float, float] | None = None

    def before(self) -> None:
        """The model is still intact: what the edit should make of it, and prompts sent under other weights."""
        bench = self.bench
        self._intact = model_fingerprint(bench.loaded.model)
        self.receipts.append(weights.intact_before(bench.finder.model_sha256, self._intact))
        self.learned.states.setdefault(self._intact, "those of the intact model")
        self._expected = weights.expected_weights(bench.loaded.model, self.found)
        for region in self.cell.regions:
            if origins := bench.finder.origins(region):
                self.receipts.append(weights.own_measurements(origins))
        self._sent_before = self._probe() if self.cell.changes_weights else []
        if self._sent_before:
            bench.engine.first_tokens(self._sent_before, logits.COMPARED_TOKENS)
        self._window = self._first_window()
        if self._window:
            self._intact_surprise = logits.plain_surprise(bench.loaded.model, self._window)

    def changed(self, tuned: FineTuned | None) -> None:
        """The edit or fine-tuning is in force, nothing is evaluated yet."""
        bench, model = self.bench, self.bench.loaded.model
        if tuned is None:
            self.receipts.append(weights.edited_places(self._expected, model, self.found))
        elif tuned.receipt.checkpoints:
            self.receipts.append(
                weights.own_checkpoints(
                    model,
                    tuned.training.intact,
                    tuple(tuned.training.checkpoints),
                    tuned.receipt.checkpoints,
                    tuned.receipt.steps,
                )
            )
        self._edited = model_fingerprint(model)
        self._held_at_first = bench.engine.weights_fingerprint()
        self._sent_again = self._first_token_deviations(self._sent_before)

    def engine_for(self, settings: Any) -> ObservedEngine:
        """The engine for one evaluation, observed."""
        watched = ObservedEngine(self.bench.engine, self.bench.loaded.model)
        self._observed[settings.name] = watched.observed
        return watched

    @property
    def seen(self) -> list[tuple[Any, Observed]]:
        """Every evaluation of the cell with what passed between it and the engine."""
        evaluations = {settings.name: settings for settings in self.bench.bound.spec.evaluations}
        return [(evaluations[name], observed) for name, observed in self._observed.items()]

    def measured(self, settings: Any, measurements: Sequence[Measurement]) -> None:
        """An evaluation has counted this."""
        self._counted[settings.name] = measurements

    def evaluated(self, completions: Sequence[Completion]) -> None:
        """Everything is evaluated and the edit still in force."""
        bench, model = self.bench, self.bench.loaded.model
        held_at_last = bench.engine.weights_fingerprint()
        self.receipts.append(engine.held_weights(self._edited, self._held_at_first, held_at_last, self.learned.states))
        self.learned.states.setdefault(self._edited, f"those of the cell {self.cell.id}")
        if self._sent_again and self._held_at_first == self._edited:  # other weights would be blamed on the cache
            self.receipts.append(engine.no_stale_cache(self._sent_again))
        prompts = [
            request.prompt_ids for each in self._observed.values() for request, _ in each.generated[-COMPARED_PROMPTS:]
        ]
        first = self._first_token_deviations(prompts)
        windows = [each.scored[0] for each in self._observed.values() if each.scored]
        scored = [logits.scored_deviation(model, request, output) for request, output in windows]
        if first or scored:
            self.receipts += [
                logits.as_plain_forward(first, scored),
                logits.finite([*self._observed.values()], model.dtype),
            ]
        self.receipts += [*self._counts(), *self._surprise()]
        if completions:
            self.receipts += [*text_receipts(bench, completions), *self._texts_again(completions)]

    def judged(self, completions: Sequence[Completion], measurements: Sequence[Measurement]) -> None:
        """The completions are judged, and figures made of them."""
        asked = [
            evaluation(settings)
            for settings in self.bench.bound.spec.evaluations
            if any(completion.evaluation == settings.name for completion in completions)
        ]
        of_kind: dict[type[Evaluation[Any]], list[Evaluation[Any]]] = {}
        for entry in asked:
            of_kind.setdefault(type(entry), []).append(entry)
        for kind, entries in of_kind.items():
            self.receipts += kind.figure_receipts(entries, completions, measurements)

    def _probe(self) -> list[tuple[int, ...]]:
        """The first request of each evaluation, in the longest frame: caches keep whole blocks of 16 tokens or more."""
        formatter, bound = self.bench.context.formatter, self.bench.bound
        requests = {
            read_lines(bound.path_of(settings.dataset))[0]
            for settings in bound.spec.evaluations_of(self.cell)
            if settings.generates_texts
        }
        return [tuple(formatter.ids(formatter.text(request, PromptStyle(True, True)))) for request in sorted(requests)]

    def _first_token_deviations(self, prompts: Sequence[tuple[int, ...]]) -> list[Deviation]:
        model = self.bench.loaded.model
        if not prompts:
            return []
        found = self.bench.engine.first_tokens(prompts, logits.COMPARED_TOKENS)
        return [
            logits.first_token_deviation(model, prompt, likeliest)
            for prompt, likeliest in zip(prompts, found, strict=True)
        ]

    def _first_window(self) -> tuple[int, ...]:
        """The first window of the text of the first perplexity, if one is measured."""
        for settings in self.bench.bound.spec.evaluations_of(self.cell):
            if window := evaluation(settings).first_window(self.bench.context):
                return window
        return ()

    def _counts(self) -> Iterator[StageReceipt]:
        for settings, observed in self.seen:
            yield from evaluation(settings).receipts(self.bench.context, observed, self._counted.get(settings.name, ()))

    def _texts_again(self, completions: Sequence[Completion]) -> list[StageReceipt]:
        model = self.bench.loaded.model
        attacks = [(settings, observed) for settings, observed in self.seen if settings.generates_texts]
        read = [decoding.read_again(model, settings, observed) for settings, observed in attacks]
        given = {settings.name: observed for settings, observed in attacks}
        return [decoding.as_generated(completions, given), decoding.own_prompts(read, model.dtype)]

    def _surprise(self) -> Iterator[StageReceipt]:
        """What the engine made of the first window, beside what the intact model made of it."""
        if self._intact_surprise is None:
            return
        request = ScoreRequest(self._window, 1)
        (scored,) = self.bench.engine.score([request])
        now = -sum(scored.log_probabilities) / len(scored.log_probabilities)
        yield text.against_intact(now, self._intact_surprise[0], self.cell.changes_weights, self._intact_surprise[1])


def text_receipts(bench: Bench, completions: Sequence[Completion]) -> list[StageReceipt]:
    """Of texts that the engine made under the weights that the model has now."""
    model, tokenizer = bench.loaded.model, bench.loaded.tokenizer
    ends = text.end_tokens(tokenizer, model.generation_config, bench.bound.variant.chat_template)
    attacks = {settings.name: settings for settings in bench.bound.spec.evaluations if settings.generates_texts}
    stopped = []
    for name, settings in attacks.items():
        greedy = [
            completion
            for completion in completions
            if completion.evaluation == name and completion.finish_reason == "stop" and settings.temperature == 0
        ]
        stopped += [
            text.stops_by_itself(model, bench.context.formatter, each, ends)
            for each in sorted(greedy, key=lambda completion: len(completion.token_ids))[:1]
        ]
    limits = {
        name: min(settings.max_new_tokens, bench.bound.variant.max_new_tokens) for name, settings in attacks.items()
    }
    return [
        text.ends_where_the_model_ends(completions, stopped, ends, tokenizer),
        text.lengths(completions, limits),
        text.decoded(completions, tokenizer),
    ]


def invalidated(measurements: Sequence[Measurement], receipts: Sequence[StageReceipt]) -> tuple[Measurement, ...]:
    """The measurements; where a receipt does not hold, none of them counts, for its reason."""
    broken = next((receipt for receipt in receipts if not receipt.holds), None)
    if broken is None:
        return tuple(measurements)
    return tuple(measured.model_copy(update={"valid": False, "reason": broken.words}) for measured in measurements)
