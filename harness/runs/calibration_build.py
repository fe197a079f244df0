"""`harness calibration build`: the safety data of a model family, from what the model itself declines."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness import plugins
from harness.calibration.files import dataset_path, file_sha256, read_lines
from harness.calibration.screening import NEAR_DUPLICATE_JACCARD, ScreenedRequests, screen
from harness.data.cache import data_folder, record
from harness.data.sources import calibration_place
from harness.engines.base import Engine, Request
from harness.errors import UserError
from harness.formulas.metrics import judgement_segment, keyword_attack_success
from harness.models.fingerprint import model_fingerprint, tokenizer_fingerprint
from harness.models.loading import LoadedModel, load_context, load_tokenizer, load_variant
from harness.models.own_template import template_sha256
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.runs import provenance
from harness.runs.calibration_folder import FULL, SHORT, free_folder, write_built
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.measurement import Completion
from harness.spec.variant import ModelVariant
from harness.validity.classification import Limits, calibrate, classify
from harness.validity.evidence import with_evidence

ATTRIBUTION, EVALUATION = "attribution-requests", "evaluation-requests"
#: With fewer refusals there is nothing to attribute.
FEWEST_REFUSALS = 8
_REQUESTS_AT_ONCE = 64
#: Of every prompt: as in attack `vanilla`.
_STYLE = PromptStyle(system_prompt=True, chat_template=True)
#: What a text counts as that declines in our reading and is a successful attack in the published one.
DISPUTED = "refusal_but_attack_by_keywords"


@dataclass(frozen=True)
class _Texts:
    """Every request's completion with what it counts as, and the limits that this rests on."""

    completions: list[Completion]
    outcomes: list[str]
    limits: Limits

    @property
    def kept(self) -> list[Completion]:
        """What both readings call a refusal."""
        return [text for text, outcome in zip(self.completions, self.outcomes, strict=True) if outcome == "refusal"]

    @property
    def counts(self) -> dict[str, int]:
        """Texts by what they count as."""
        return dict(sorted(Counter(self.outcomes).items()))


@dataclass(frozen=True)
class _Asked:
    """The requests that the model is prompted with, and how they were chosen.

    sources: files by dataset. evaluated: number of evaluation requests that near-duplicates were looked for in.
    """

    sources: dict[str, Path]
    evaluated: int
    screened: ScreenedRequests
    limit: int | None
    keep_near_duplicates: bool

    @property
    def requests(self) -> tuple[str, ...]:
        """Those that passed, up to the limit."""
        return self.screened.fit[: self.limit]

    @property
    def screening(self) -> dict[str, int]:
        """Requests by what became of them."""
        key = "near_duplicates_kept" if self.keep_near_duplicates else "near_duplicates_left_out"
        return {key: len(self.screened.near_duplicates), "repeated": self.screened.repeated}

    @property
    def settings(self) -> dict[str, Any]:
        """How they were chosen."""
        return {
            "limit": self.limit,
            "keep_near_duplicates": self.keep_near_duplicates,
            "evaluation_requests_compared": self.evaluated,
        }


def build_calibration(
    variant: ModelVariant,
    variant_file: Path,
    out: Path | None,
    limit: int | None,
    keep_near_duplicates: bool,
    report_progress: Callable[[str, float], None],
) -> tuple[Path, dict[str, Any]]:
    """Write safety_full.csv, safety_short.csv and calibration.json. Returns the folder and what the last one holds.

    The model is prompted greedily as in attack `vanilla` (table 2 of the paper) with its attribution
    requests. Kept is what both readings call a refusal: the class of harness/validity and the published
    scorer. out: None takes the folder in which the variant expects safety_full.csv, in the data cache or elsewhere.
    limit: only the first requests that pass the screening. Raises UserError, before the weights are loaded, for
    requests that are evaluated and for files that are there already; afterwards where too little is declined.
    """
    folder = free_folder(variant, variant_file, out)
    asked = _asked(variant, variant_file, limit, keep_near_duplicates)
    _refuse_too_few(len(asked.requests), "requests are left to prompt the model with", asked.screening)
    if problems := plugins.load("engines", variant.engine).problems(variant):
        raise UserError("\n".join(problems))
    _refuse_long(variant, variant_file, asked.requests)
    report_progress("loading the model", 0.0)
    loaded = load_variant(variant, variant_file)
    formatter = PromptFormatter(loaded.tokenizer, variant.chat_template, variant.system_prompt)
    texts = _texts(variant, loaded, formatter, asked.requests, report_progress)
    _refuse_too_few(len(texts.kept), "requests are declined", asked.screening | texts.counts)
    tables = {
        FULL: _csv([(text.prompt, text.text) for text in texts.kept]),
        SHORT: _csv([(text.prompt, judgement_segment(text.text) or text.text) for text in texts.kept]),
    }
    manifest = _manifest(variant, loaded, asked, texts, tables)
    write_built(folder, tables, manifest)
    if folder == data_folder() / calibration_place(variant):
        for name in tables:
            record(f"{calibration_place(variant)}/{name}")
    return folder, manifest


def _manifest(
    variant: ModelVariant, loaded: LoadedModel, asked: _Asked, texts: _Texts, tables: dict[str, str]
) -> dict[str, Any]:
    """What calibration.json holds: counts, settings, and the hashes of what went in and came out."""
    return {
        "variant": variant.name,
        "counts": {
            "prompted": len(asked.requests),
            **asked.screening,
            **texts.counts,
            "refusals_cut_off": sum(text.finish_reason == "length" for text in texts.kept),
        },
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tables.items()},
        "requests": {name: file_sha256(path) for name, path in asked.sources.items()},
        "settings": _settings(variant, loaded, texts.limits) | asked.settings,
        **_identity(loaded),
    }


def _evaluated_requests() -> int | None:
    """How many lines of the evaluation requests the shipped benchmarks read at most; None if none reads any."""
    specs = [load_yaml_model(path, BenchmarkSpec) for path in locations.benchmark_paths()]
    needed = [evaluation.lines_needed for spec in specs for evaluation in spec.evaluations]
    return max((lines[EVALUATION] for lines in needed if EVALUATION in lines), default=None)


def _asked(variant: ModelVariant, variant_file: Path, limit: int | None, keep_near_duplicates: bool) -> _Asked:
    """The requests of the variant's files. Raises UserError for requests that are evaluated."""
    sources = {name: dataset_path(variant, variant_file, name) for name in (ATTRIBUTION, EVALUATION)}
    evaluated = read_lines(sources[EVALUATION])[: _evaluated_requests()]
    screened = screen(read_lines(sources[ATTRIBUTION]), evaluated, keep_near_duplicates)
    return _Asked(sources, len(evaluated), screened, limit, keep_near_duplicates)


def _refuse_too_few(count: int, words: str, counts: dict[str, int]) -> None:
    if count < FEWEST_REFUSALS:
        listed = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise UserError(
            f"{count} {words}; expected at least {FEWEST_REFUSALS} to make calibration data of ({listed}). "
            f"Look at the variant's chat template and system prompt, and at its {ATTRIBUTION}"
        )


def _refuse_long(variant: ModelVariant, variant_file: Path, requests: Sequence[str]) -> None:
    """Raise UserError for a request whose prompt, with its answer, is longer than the model's context."""
    formatter = PromptFormatter(load_tokenizer(variant, variant_file), variant.chat_template, variant.system_prompt)
    most = load_context(variant, variant_file) - variant.max_new_tokens
    for request in requests:
        if (length := len(formatter.ids(formatter.text(request, _STYLE)))) > most:
            raise UserError(
                f"the request {request[:80]!r} of {ATTRIBUTION} is a prompt of {length} tokens; expected at most "
                f"{most}, the model's context without {variant.max_new_tokens} new ones: leave the request out"
            )


def _texts(
    variant: ModelVariant,
    loaded: LoadedModel,
    formatter: PromptFormatter,
    requests: Sequence[str],
    report_progress: Callable[[str, float], None],
) -> _Texts:
    """The model's greedy answers, each with what it counts as. What an answer is, the answers themselves calibrate."""
    engine = plugins.load("engines", variant.engine).make(loaded)
    completions: list[Completion] = []
    for start in range(0, len(requests), _REQUESTS_AT_ONCE):
        report_progress("prompting the model", start / len(requests))
        some = requests[start : start + _REQUESTS_AT_ONCE]
        completions += _answers(some, start, variant.max_new_tokens, engine, formatter)
    report_progress("judging the answers", 1.0)
    judged = with_evidence(completions, engine, formatter)
    limits = calibrate(judged)
    return _Texts(judged, [_outcome(completion, limits) for completion in judged], limits)


def _answers(
    requests: Sequence[str], first: int, max_new_tokens: int, engine: Engine, formatter: PromptFormatter
) -> list[Completion]:
    prompts = [formatter.text(request, _STYLE) for request in requests]
    outputs = engine.generate([Request(tuple(formatter.ids(prompt)), max_new_tokens) for prompt in prompts])
    return [
        Completion(
            evaluation=ATTRIBUTION,
            prompt_index=index,
            sample_index=0,
            suffix_index=None,
            prompt=prompt,
            text=formatter.answer(output.token_ids),
            token_ids=output.token_ids,
            finish_reason=output.finish_reason,
            evidence={} if output.finite else {"non_finite_logits": 1.0},
        )
        for index, (prompt, output) in enumerate(zip(prompts, outputs, strict=True), first)
    ]


def _outcome(completion: Completion, limits: Limits) -> str:
    kind = classify(completion, limits)
    return DISPUTED if kind == "refusal" and keyword_attack_success(completion.text) else kind


def _settings(variant: ModelVariant, loaded: LoadedModel, limits: Limits) -> dict[str, Any]:
    """How the model was prompted and its answers were judged."""
    return {
        "chat_template": variant.chat_template,
        "template_sha256": template_sha256(loaded.tokenizer, variant.chat_template),
        "system_prompt": variant.system_prompt,
        "max_new_tokens": variant.max_new_tokens,
        "temperature": 0.0,
        "dtype": variant.dtype,
        "engine": variant.engine,
        "near_duplicate_jaccard": NEAR_DUPLICATE_JACCARD,
        "limits": vars(limits),
    }


def _identity(loaded: LoadedModel) -> dict[str, Any]:
    """Which weights, tokenizer, source, versions and hardware the texts come from."""
    return {
        "model_sha256": model_fingerprint(loaded.model),
        "tokenizer_sha256": tokenizer_fingerprint(loaded.tokenizer),
        "source_sha256": provenance.source_sha256(),
        **provenance.machine(torch.get_num_threads()),
    }


def _csv(rows: Sequence[tuple[str, str]]) -> str:
    """CSV text with the columns prompt and response."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("prompt", "response"))
    writer.writerows(rows)
    return buffer.getvalue()
