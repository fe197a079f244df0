"""What a record and the texts beside it have of a cell, counted once more for what is told of it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.explanation.recorded import RecordedRun
from harness.formulas.metrics import FIT, SCORER_RULES, scorer_rule
from harness.reports.read_back.known import near
from harness.spec.measurement import Completion
from harness.spec.result import CellResult

Wanted = Callable[[re.Match[str]], Sequence[Any]]
_NOTHING = "nothing that was measured here"


@dataclass(frozen=True)
class Again:
    """A cell of a run, and of the reference that it is compared with, if any."""

    run: RecordedRun
    cell: CellResult
    reference: RecordedRun | None

    @property
    def there(self) -> CellResult | None:
        """The cell in the reference."""
        return None if self.reference is None else self.reference.record.cell(self.cell.id)

    @property
    def invalid(self) -> tuple[list[str], bool]:
        """The metrics that count for nothing, and whether these are all."""
        found = [measured.metric for measured in self.cell.measurements if not measured.valid]
        return found, len(found) == len(self.cell.measurements)

    @cached_property
    def by_stage(self) -> dict[str, tuple[int, int, str]]:
        """How many receipts hold, of how many, and what they looked at, by stage in the order of the path."""
        found: dict[str, tuple[int, int, str]] = {}
        for stage in ("data", "prompts", "scores", "mask", "weights", "engine", "logits", "text", "scorer", "canary"):
            own = [each for each in self.cell.receipts if each.stage == stage]
            looked = ", ".join(
                f"{each.name} at {' and '.join(f'{s.seen} of {s.of} {s.what}' for s in each.looked_at)}"
                for each in own
                if each.looked_at
            )
            if own:
                found[stage] = sum(each.holds for each in own), len(own), looked
        return found

    def nobody(self, unchecked: Sequence[str]) -> str:
        """What no receipt checks, in one line."""
        return "; ".join(unchecked) or _NOTHING

    def counts(self, evaluation: str) -> bool:
        """Whether the ASR of an evaluation does."""
        measured = self.cell.measurement(f"asr_{evaluation}")
        return measured is None or measured.valid

    @cached_property
    def texts(self) -> dict[str, list[list[Completion]]]:
        """By evaluation the texts that its published figure may rest on: of each suffix with the most successes."""
        groups: dict[str, dict[int | None, list[Completion]]] = defaultdict(lambda: defaultdict(list))
        for text in self.run.texts(self.cell).completions:
            groups[text.evaluation][text.suffix_index].append(text)
        found = {}
        for name, by_suffix in groups.items():
            passed = {key: self._rules(texts)["passed"] for key, texts in by_suffix.items()}
            found[name] = [texts for key, texts in by_suffix.items() if passed[key] == max(passed.values())]
        return found

    @staticmethod
    def _rules(texts: Sequence[Completion]) -> Counter[str]:
        return Counter(scorer_rule(each.text) for each in texts)

    def wrong_rate(self, attack: str, shown: str | float | None) -> Iterator[str]:
        """In words, where the record's ASR is another."""
        measured = self.cell.measurement(f"asr_{attack}")
        if not alike(shown, measured.value if measured else None):
            yield f"the ASR of {attack} is {shown}; the record has {measured and measured.value}"

    def wrong_rules(self, name: str, total: int, shown: Mapping[str, int]) -> Iterator[str]:
        """Where the texts fall under other rules of the published scorer."""
        known = [{rule: self._rules(texts)[rule] for rule in SCORER_RULES} for texts in self.texts.get(name, ())]
        if dict(shown) not in known or sum(shown.values()) != total:
            yield f"of {total} outputs of {name} {dict(shown)} are told; its texts give {known[:1]}"

    def wrong_classes(self, name: str, total: int, shown: Mapping[str, int]) -> Iterator[str]:
        """Where the texts, or without them the record, are of other classes."""
        known = [Counter(each.completion_class for each in texts) for texts in self.texts.get(name, ())]
        known = known or [Counter(self.cell.completion_classes.get(name, {}))]
        if dict(shown) not in [{k: n for k, n in each.items() if n} for each in known] or sum(shown.values()) != total:
            yield f"of {total} outputs of {name} {dict(shown)} are told; there are {dict(known[0])}"

    def without_words_of_receipts(self, words: str) -> str:
        """What receipts and reasons say is theirs: it may look like a sentence of ours."""
        theirs = [f"expected {each.expected}, saw {each.seen}" for each in self.cell.receipts]
        theirs += [f"to rely on: {each.reason}" for each in self.cell.measurements if each.reason]
        if any(words == each.advice for each in self.cell.receipts):
            return ""
        for text in theirs:
            words = words.replace(text, "")
        return words

    @cached_property
    def sentences(self) -> list[tuple[str, Wanted]]:
        """Patterns of sentences with figures, and what those should be."""
        edit, tuned = self.cell.receipt, self.cell.fine_tuning
        share = None if edit is None or edit.sparsity is None else 100 * edit.sparsity
        ranks = max(edit.rank_by_layer.values(), default=None) if edit is not None else None
        steps = tuned.steps if tuned else None
        number = r"(-?\d[\d.e+-]*\d|\d)"
        return [
            (rf"{number}% of the weights were selected", lambda _: [share]),
            (r"up to (\d+) ranks of a layer", lambda _: [ranks]),
            (r"(\d+) steps of fine-tuning", lambda _: [steps]),
            (rf"(\S+) counted again from the texts, the same {number}", lambda m: [m[1], self._asr(m[1])]),
            (rf"(\S+): the record says {number}, but", lambda m: [m[1], self._asr(m[1])]),
            (rf"an ASR of {number}", lambda _: [self._asr(self._first_invalid)]),
            (
                rf"neither {number} nor {number} \(the same",
                lambda _: [self._asr(self._first_invalid), self._without_word_rule],
            ),
            (r"(\d+) of (\d+) outputs are no answers", lambda _: self._of_classes(self._first_invalid, fit=False)[:2]),
            (rf"(accuracy|perplexity) {number}, intact {number}(?:, chance {number})?", self._beside),
            (r"(\d+) of (\d+) (\S+?),? (?=(?:\d+ of \d+ \S+,? )*outputs answer or refuse)", self._fit),
            (r"(\d+) of (\d+) (\S+?),? (?=(?:\d+ of \d+ \S+,? )*outputs neither answer)", self._unfit),
        ]

    def _asr(self, name: str) -> float | None:
        measured = self.cell.measurement(f"asr_{name}")
        return measured.value if measured else None

    @property
    def _first_invalid(self) -> str:
        """The first attack that does not count."""
        named = [each.get("name", each["kind"]) for each in self.run.record.spec.get("evaluations", ())]
        return next((name for name in named if name in self.cell.completion_classes and not self.counts(name)), "")

    @property
    def _without_word_rule(self) -> float | None:
        texts = self.texts.get(self._first_invalid)
        return 1 - self._rules(texts[0])["refusal_phrase"] / len(texts[0]) if texts else None

    def _beside(self, match: re.Match[str]) -> Sequence[Any]:
        metric = "accuracy_mean" if match[1] == "accuracy" else match[1]
        owners = [(self.cell, metric), (self.run.intact, metric), (self.cell, metric.replace("mean", "chance"))]
        found = [owner.measurement(name) if owner else None for owner, name in owners]
        return [match[1], *(measured.value if measured else None for measured in found)]

    def _fit(self, match: re.Match[str]) -> Sequence[Any]:
        return self._of_classes(match[3], fit=True)

    def _unfit(self, match: re.Match[str]) -> Sequence[Any]:
        return self._of_classes(match[3], fit=False)

    def _of_classes(self, name: str, fit: bool) -> Sequence[Any]:
        texts = self.texts.get(name)
        counts = (
            Counter(each.completion_class for each in texts[0]) if texts else self.cell.completion_classes.get(name, {})
        )
        number = sum(count for kind, count in counts.items() if (kind in FIT) is fit)
        return [number, sum(counts.values()), name]


def alike(shown: str | float | None, value: Any) -> bool:
    """Whether what is shown is a value, to as many digits as there are."""
    if shown is None or value is None:
        return shown is value
    if not isinstance(shown, str) or isinstance(value, str):
        return bool(shown == value)
    return near(shown, float(value))
