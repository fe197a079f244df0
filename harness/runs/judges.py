"""Asking the judges that a spec names: each reads known texts first, and then those of a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from harness.errors import MachineError, UserError
from harness.evaluations.base import Unfit, evaluation
from harness.judges import base
from harness.judges._calibration import broken_successes, confusion_of, finds_harm, tells_nothing
from harness.judges._known_texts import known_sha256, known_texts
from harness.judges.base import Item, Judge
from harness.runs.bench import Bench, KnownJudge, Learned
from harness.runs.failures import machine_failure
from harness.runs.judging import unfit_of
from harness.spec.benchmark import BenchmarkSpec, Cell, EvaluationSettings
from harness.spec.judge import DeclaredJudge, JudgeFound
from harness.spec.measurement import JUDGE_LABELS, Completion, JudgeLabel, Measurement
from harness.spec.receipt import StageReceipt
from harness.validity.classification import Thresholds, classify
from harness.validity.evidence import with_evidence

Given = TypeVar("Given")
#: The longest part of an error of somebody else's code that is told.
_TOLD = 200


@dataclass(frozen=True)
class JudgedTexts:
    """All texts of a cell with what each judge said of them, the judges as they were found, and what was checked."""

    completions: list[Completion]
    judges: dict[str, JudgeFound]
    receipts: tuple[StageReceipt, ...]
    unchecked: tuple[str, ...]


class _FailedError(Exception):
    """A judge gave no labels; in words, what it did instead."""


def judged_texts(
    bench: Bench, learned: Learned, cell: Cell, texts: Sequence[Completion], thresholds: Thresholds | None
) -> JudgedTexts:
    """Have every judge of the cell's evaluations read its texts, whose classes are known. The model must be intact."""
    judged = JudgedTexts(list(texts), {}, (), ())
    if not texts or thresholds is None:
        return judged
    entries = bench.bound.spec.evaluations_of(cell)
    for settings in {judge.judge: judge for entry in entries for judge in entry.judged_by}.values():
        known = _known(bench, learned, settings, thresholds)
        bench.engine.rest()
        judged = read_by(known, entries, judged, bench.context.path_of)
    return judged


def read_by(
    known: KnownJudge, entries: Sequence[EvaluationSettings], judged: JudgedTexts, path_of: Callable[[str], Path]
) -> JudgedTexts:
    """The texts of a cell as one more judge has read them, which was measured before.

    entries: the cell's evaluations. path_of: the file behind the name of a data set of requests.
    """
    name = known.judge.settings.judge
    asking = {entry.name for entry in entries if name in {judge.judge for judge in entry.judged_by}}
    own = [index for index, text in enumerate(judged.completions) if text.evaluation in asking]
    items = _items(entries, [judged.completions[index] for index in own], path_of)
    found, given, receipts = _read(known, items)
    labels = dict(zip(own, given, strict=False))  # none where it failed
    counts = {entry: Counter[JudgeLabel]() for entry in sorted(asking)}
    for index, label in labels.items():
        counts[judged.completions[index].evaluation][label] += 1
    told = {entry: dict(sorted(counter.items())) for entry, counter in counts.items() if counter}
    completions = [
        text.model_copy(update={"judgements": {**text.judgements, name: labels[index]}}) if index in labels else text
        for index, text in enumerate(judged.completions)
    ]
    return JudgedTexts(
        completions,
        {**judged.judges, name: found.model_copy(update={"labels": told})},
        (*judged.receipts, *receipts),
        (*judged.unchecked, *known.judge.unchecked),
    )


def figures_by_judge(spec: BenchmarkSpec, cell: Cell, judged: JudgedTexts) -> list[Measurement]:
    """What each evaluation makes of what its judges said."""
    figures: list[Measurement] = []
    for settings in spec.evaluations_of(cell):
        own = [completion for completion in judged.completions if completion.evaluation == settings.name]
        for name in (judge.judge for judge in settings.judged_by if own):
            unfit = _unfit_by(spec, settings, judged, name)
            figures += evaluation(settings).figures_by_judge(name, own, unfit)
    return figures


def _unfit_by(spec: BenchmarkSpec, settings: EvaluationSettings, judged: JudgedTexts, name: str) -> Unfit:
    """Why a rate by the judge means nothing: the judge, the texts, or what it says of these texts."""
    of_texts, least = unfit_of(spec, settings, judged.completions), spec.validity.minimum_fit_share
    found = judged.judges[name]

    def unfit(completions: Sequence[Completion]) -> str | None:
        reason = found.problem or of_texts(completions)
        if reason is not None:
            return reason
        said = Counter(completion.judgements[name] for completion in completions)
        told = len(completions) - said["cannot tell"]
        if told < least * len(completions):
            return f"the judge {name} can tell of {told} of {len(completions)} texts; at least {least:.0%} it must"
        successes = [each.completion_class for each in completions if each.judgements[name] == "success"]
        return broken_successes(name, found.confusion, [kind for kind in successes if kind is not None])

    return unfit


def _known(bench: Bench, learned: Learned, settings: DeclaredJudge, thresholds: Thresholds) -> KnownJudge:
    """The judge, and what it makes of the known texts, which it reads once in every process."""
    key = settings.model_dump_json()
    if key not in learned.judges:
        bench.engine.rest()
        learned.judges[key] = measured(base.judge(settings), _known_items(bench, thresholds))
    return learned.judges[key]


def measured(judge: Judge, items: Sequence[Item]) -> KnownJudge:
    """The judge, and what it makes of the known texts. items: these, in their order."""
    name = judge.settings.judge
    try:
        confusion = confusion_of(known_texts(), _labels(judge, items))
        problem = (finds_harm if judge.harm_only else tells_nothing)(name, confusion)
    except _FailedError as failure:
        confusion, problem = {}, _words(name, failure, "known texts")
    found = JudgeFound(
        known_sha256=known_sha256(),
        confusion=confusion,
        problem=problem,
        harm_only=judge.harm_only,
        weights_sha256=judge.weights_sha256,
    )
    return KnownJudge(judge, found)


def _read(known: KnownJudge, items: Sequence[Item]) -> tuple[JudgeFound, Sequence[JudgeLabel], list[StageReceipt]]:
    """The judge as it is found, its labels, none where it gave none, and the receipt of a second reader."""
    if known.found.problem is not None:
        return known.found, (), []
    name = known.judge.settings.judge
    try:
        labels = _labels(known.judge, items)
        plain = _checked(lambda: known.judge.plain_judge(items), len(items))
    except _FailedError as failure:
        return known.found.model_copy(update={"problem": _words(name, failure, "texts of this cell")}), (), []
    return known.found, labels, [] if plain is None else [_second_reading(name, labels, plain)]


def _second_reading(name: str, labels: Sequence[JudgeLabel], plain: Sequence[JudgeLabel]) -> StageReceipt:
    different = sum(one != other for one, other in zip(labels, plain, strict=True))
    return StageReceipt(
        stage="scorer",
        name=f"judge-{name}",
        holds=not different,
        expected=f"the labels of the judge {name} as its second reading gives them",
        seen=f"another label of {different} of {len(labels)} texts" if different else "them",
        advice=f"compare `judge` and `plain_judge` of {name}: one of them is not what it is said to be",
        evidence={"texts": len(labels), "different": different},
    )


def _items(
    entries: Sequence[EvaluationSettings], texts: Sequence[Completion], path_of: Callable[[str], Path]
) -> list[Item]:
    asked = {entry.name: evaluation(entry).requests(path_of) for entry in entries if entry.judged_by}
    return [_item(asked[text.evaluation][text.prompt_index], text) for text in texts]


def _known_items(bench: Bench, thresholds: Thresholds) -> list[Item]:
    """The known texts, read by the harness itself as sampled texts are: no model has chosen their every token."""
    texts = known_texts()
    completions = [
        Completion(
            evaluation="known",
            prompt_index=index,
            sample_index=0,
            suffix_index=None,
            prompt="",
            text=text.text,
            token_ids=(),
            finish_reason="stop",
        )
        for index, text in enumerate(texts)
    ]
    read = [
        completion.model_copy(update={"completion_class": classify(completion, thresholds.sampled)})
        for completion in with_evidence(completions, bench.engine, bench.context.formatter)
    ]
    return [_item(text.request, completion) for text, completion in zip(texts, read, strict=True)]


def _item(request: str, text: Completion) -> Item:
    if text.completion_class is None:
        raise ValueError("a text comes to a judge before its class is known")
    return Item(request, text.text, text.token_ids, text.finish_reason, text.completion_class)


def _labels(judge: Judge, items: Sequence[Item]) -> list[JudgeLabel]:
    """What a judge says, one label for each text. Raises _FailedError where it does not say that."""
    with ExitStack() as stack:
        _safely(lambda: stack.enter_context(judge.ready()))
        labels = _checked(lambda: judge.judge(items), len(items))
    if labels is None:
        raise _FailedError("gives no labels")
    return labels


def _checked(given: Callable[[], Sequence[JudgeLabel] | None], texts: int) -> list[JudgeLabel] | None:
    """The labels, as they must be: one for each text, and each of those that there are. None as it is."""

    def listed() -> list[object] | None:
        labels = given()
        return None if labels is None else list(islice(labels, texts + 1))

    found = _safely(listed)
    if found is None:
        return None
    if len(found) != texts:
        count = len(found) if len(found) < texts else f"more than {texts}"
        raise _FailedError(f"gives {count} labels for {texts} texts")
    return list(_known_labels(found))


def _known_labels(found: Sequence[object]) -> Iterator[JudgeLabel]:
    by_words: Mapping[str, JudgeLabel] = {label: label for label in JUDGE_LABELS}
    for label in found:
        if type(label) is not str or label not in by_words:
            expected = ", ".join(map(repr, JUDGE_LABELS))
            raise _FailedError(f"gives the label {_cut(repr(label))}; expected one of {expected}")
        yield by_words[label]


def _safely(do: Callable[[], Given]) -> Given:
    """What is done by somebody else's code. Raises _FailedError for its errors, which are none of the harness."""
    try:
        return do()
    except (UserError, MachineError):
        raise
    except (Exception, SystemExit) as error:
        gave_out = machine_failure(error) if isinstance(error, Exception) else None
        if gave_out is not None:
            raise gave_out from error
        raise _FailedError(_cut(f"ends in {type(error).__name__}: {error}")) from error


def _words(name: str, failure: _FailedError, of: str) -> str:
    return f"the judge {name}, asked for {of}, {failure}; correct it, or leave it out of `judges`"


def _cut(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _TOLD else line[:_TOLD] + " …"
