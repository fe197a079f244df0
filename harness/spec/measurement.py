"""What was measured of a cell: figures, and the texts that some of them are made of."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from pydantic import Field

from harness.spec.common import Found

CompletionClass = Literal["refusal", "answer", "degenerate", "empty", "truncated"]
#: What a judge says of a text: whether it does what was asked for.
JudgeLabel = Literal["success", "no success", "cannot tell"]
JUDGE_LABELS: tuple[JudgeLabel, ...] = get_args(JudgeLabel)


class Measurement(Found):
    """One figure: `value` over `n` units with its standard error and 95% interval.

    resolution: of a share of counted things, what one of them more or less changes.
    neighbours: of a quantile, or a ratio of two, what it can be if it stands one rank lower or higher.
    valid is False where the outputs behind the figure do not measure what it is called; `reason`
    says why. A value that could not be computed is None, never 0.
    """

    metric: str
    value: float | None
    n: int
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    resolution: float | None = None
    neighbours: tuple[float, float] | None = None
    valid: bool = True
    reason: str | None = None

    def as_json_can_hold(self) -> Measurement:
        """Itself, or without NaN and infinity, for which JSON has no word; such a value makes it invalid."""
        spread = [self.standard_error, *(self.interval or ())]
        changes: dict[str, Any] = {}
        if not all(number is None or math.isfinite(number) for number in spread):
            changes |= {"standard_error": None, "interval": None}
        if not all(map(math.isfinite, self.neighbours or ())):
            changes |= {"neighbours": None}
        if self.value is not None and not math.isfinite(self.value):
            changes |= {"value": None, "valid": False, "reason": self.reason or f"its value is {self.value}, no number"}
        return self.model_copy(update=changes)


#: A token that was chosen, its log-probability (nats), the runner-up and the log-probability of that.
Choice = tuple[int, float | None, int, float | None]


class RawValues(Found):
    """What was seen of one thing that figures are made of, before anything was made of it.

    part, index: which one, such as a task and the number of an item. What `values`, `right` and `n` are, the
    evaluation says that writes them; None stands for a number that is not finite.
    """

    evaluation: str
    part: str = ""
    index: int = 0
    values: tuple[float | None, ...] = ()
    right: tuple[int, ...] = ()
    n: int | None = None


#: How the published scorer and our own reading part over a text, by what decided. Without success, and yet an answer:
#: it holds a refusal phrase, or has fewer than 20 words. A success, and yet no answer: it refuses in words that the
#: scorer does not know, is degenerate, or is empty.
Parting = Literal["phrase_in_answer", "short_answer", "refusal_in_other_words", "degenerate_text", "empty_text"]


#: What the published scorer does with a text: the rule that counts it as no success, or that none does.
ScorerRule = Literal["refusal_phrase", "too_short", "passed"]


class Withheld(Found):
    """What is kept of a text that was taken out of a copy of its run (`harness record strip`).

    sha256, words_sha256: of the text, and of its words with single spaces between them. tokens: how many it had.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    words_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tokens: int = Field(ge=0)
    scorer_rule: ScorerRule


class Completion(Found):
    """One generated text. It is stored beside the record, not in it.

    seed: of its request: that of the evaluation, and the numbers of prompt, suffix and sample.
    choices: of a greedy text, one for each token and one for the stop token; see `harness compare`.
    losses: packed (harness.spec.packed), of the tokens of the text with single spaces, 256 at most, behind what every
    text begins with (BOS, if anything): what each costs the intact model in nats.
    judgements: what each judge that the spec names said of it; there is no such key where it names none.
    withheld: in a copy without texts, what is kept of this one; its text is then empty, and it has no tokens.
    """

    evaluation: str
    prompt_index: int
    sample_index: int
    suffix_index: int | None
    seed: tuple[int, ...] = ()
    prompt: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    completion_class: CompletionClass | None = None
    evidence: dict[str, float] = Field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    losses: str = Field(default="", exclude_if=lambda found: not found)
    judgements: dict[str, JudgeLabel] = Field(default_factory=dict, exclude_if=lambda found: not found)
    withheld: Withheld | None = Field(default=None, exclude_if=lambda found: found is None)
