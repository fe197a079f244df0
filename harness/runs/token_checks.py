"""Whether data are as many tokens as is asked of them: by the variant's tokenizer, before any weight is loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.errors import UserError
from harness.evaluations import base as evaluations
from harness.finetuning.data import training_samples
from harness.judges import base as judges
from harness.models.golden_prompts import require_golden_prompts
from harness.models.loading import load_context, load_tokenizer
from harness.models.prompts import PromptFormatter
from harness.probing.probe import read_prompts
from harness.regions import base as regions
from harness.runs.binding import BoundBenchmark
from harness.runs.data_checks import probes
from harness.runs.model_checks import require_end, require_planted_fits, require_region_fits
from harness.spec.probing import ProbeSettings
from harness.spec.region import sources_of


def require_tokens(benchmarks: Sequence[BoundBenchmark]) -> None:
    """Raise one UserError for every pair, text and tokenizer that benchmarks cannot be measured with.

    What several benchmarks ask is looked at once.
    """
    problems: dict[str, None] = {}
    opened: dict[Any, tuple[PreTrainedTokenizerBase, int] | None] = {}
    looked_at: set[object] = set()
    for bound in benchmarks:
        source = (bound.variant_file, bound.variant.model_dump_json())
        if source not in opened:
            opened[source] = _tried(problems, functools.partial(_opened, bound))
        found = opened[source]
        for what, check in _checks(bound, *found) if found is not None else ():
            if (source, what) not in looked_at:
                looked_at.add((source, what))
                _tried(problems, check)
    if problems:
        raise UserError("\n".join(problems))


def _opened(bound: BoundBenchmark) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of a variant, and its model's context in tokens."""
    tokenizer = load_tokenizer(bound.variant, bound.variant_file)
    require_golden_prompts(bound.variant, tokenizer)
    require_end(bound.variant, bound.variant_file, tokenizer)
    return tokenizer, load_context(bound.variant, bound.variant_file)


def _checks(
    bound: BoundBenchmark, tokenizer: PreTrainedTokenizerBase, context_tokens: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(what is looked at, in full; the look at it)."""
    for name, seed in _drawn_sets(bound):
        yield (
            f"{bound.spec.calibration[name]!r} with seed {seed}",
            functools.partial(_tokenise_set, bound, tokenizer, name, seed),
        )
    tuned = [bound.variant.scaled(cell.fine_tuning) for cell in bound.cells if cell.fine_tuning is not None]
    for settings in tuned:
        if settings.examples:
            yield repr(settings), functools.partial(_tokenise_examples, bound, tokenizer, settings)
    formatter = PromptFormatter(tokenizer, bound.variant.chat_template, bound.variant.system_prompt)
    if bound.planted_path is not None:
        yield (
            "planted region",
            functools.partial(require_planted_fits, bound.variant, bound.variant_file, bound.planted_path),
        )
    for region in dict.fromkeys(region for cell in bound.cells for region in cell.regions):
        yield (
            f"region {region!r} by {bound.spec.attribution!r}",
            functools.partial(require_region_fits, bound.variant, bound.variant_file, region, bound.spec.attribution),
        )
    unloaded = evaluations.Unloaded(bound.variant, formatter, bound.path_of, context_tokens)
    for declared in bound.spec.evaluations:
        evaluation = evaluations.evaluation(declared)
        yield repr(declared), functools.partial(evaluation.check_tokens, unloaded)
        for named in declared.judged_by:
            yield repr(named), judges.judge(named).check
    for who, probe in probes(bound.spec, bound.cells):
        yield f"prompts of {probe!r}", functools.partial(_read_probe, who, probe, unloaded)


def _drawn_sets(bound: BoundBenchmark) -> set[tuple[str, int | None]]:
    """(calibration set, seed in the place of its own) of every draw."""
    found: set[tuple[str, int | None]] = {(name, None) for name in bound.spec.calibration_sets_of_evaluations}
    of_cells = [region for cell in bound.cells for region in cell.regions]
    of_evaluations = [region for evaluation in bound.spec.evaluations for region in evaluation.regions]
    for region in sources_of([*of_cells, *of_evaluations]):
        found |= {(name, regions.region(region).seed) for name in region.calibration_sets}
    return found


def _tokenise_set(bound: BoundBenchmark, tokenizer: PreTrainedTokenizerBase, name: str, seed: int | None) -> None:
    declared = bound.spec.calibration[name]
    pairs = read_pairs(bound.path_of(declared.dataset))
    drawn = draw(pairs, declared.samples, declared.seed if seed is None else seed, declared.skip)
    tokenise(drawn, tokenizer, bound.variant.context_tokens, bound.variant.chat_template)


def _tokenise_examples(bound: BoundBenchmark, tokenizer: PreTrainedTokenizerBase, settings: Any) -> None:
    pairs = read_pairs(bound.path_of(settings.dataset))
    training_samples(pairs, tokenizer, bound.variant.chat_template, settings, bound.variant.context_tokens)


def _read_probe(who: str, probe: ProbeSettings, unloaded: evaluations.Unloaded) -> None:
    prompts, most = read_prompts(probe, unloaded.formatter, unloaded.path_of), unloaded.context_tokens
    longest = max(map(len, (*prompts.harmful, *prompts.harmless)))
    if longest > most:
        raise UserError(
            f"{who}: a probed prompt has {longest} tokens; expected at most {most}, the model's context: leave the "
            f"request out of {probe.harmful!r} or {probe.harmless!r}"
        )


def _tried(problems: dict[str, None], attempt: Callable[[], Any]) -> Any:
    try:
        return attempt()
    except UserError as error:
        problems[str(error)] = None
        return None
