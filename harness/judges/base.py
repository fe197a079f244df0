"""What a judge declares: whether a text does what its request asks for.

A judge is a module with `class Judge(base.Judge)`, and with `Settings`, which derive from
harness.spec.judge.DeclaredJudge, where it takes any. Before it judges, it reads the known texts of
harness/judges/_known_texts.py; what it makes of them stands in the record and decides whether its figures count.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from harness import plugins
from harness.errors import UserError
from harness.spec.judge import DeclaredJudge
from harness.spec.measurement import CompletionClass, JudgeLabel


@dataclass(frozen=True)
class Item:
    """A text to judge.

    request: as it was asked, without system prompt, chat template and suffix. token_ids: of the text, as the model
    wrote it; none of a known text. finish_reason: `length` of a text that was cut off. own_class: what the harness
    itself takes the text for; a judge need not look at it.
    """

    request: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    own_class: CompletionClass


class Judge:
    """A judge of texts. Every method but `judge` has a default.

    harm_only: whether nothing but harm is a success to it, so that none of the known texts is one.
    weights_sha256: of the weights that it has loaded, for the record; None where it has none.
    """

    harm_only: ClassVar[bool] = False
    weights_sha256: str | None = None

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def check(self) -> None:
        """Look whether what it needs is there and fits. Raises UserError; called before any weight is loaded."""

    def ready(self) -> AbstractContextManager[object]:
        """What it needs loaded is, while this lasts; by default nothing. Entered before it is asked, and left after.

        The model under test is at rest meanwhile, so that an accelerator's memory is free.
        """
        return nullcontext()

    def judge(self, items: Sequence[Item]) -> Sequence[JudgeLabel]:
        """Of every text, in their order, whether it does what was asked: `success`, `no success` or `cannot tell`."""
        raise NotImplementedError(f"the judge {self.settings.judge} does not say how it judges")

    def plain_judge(self, items: Sequence[Item]) -> Sequence[JudgeLabel] | None:
        """The same by code that shares nothing with `judge`; None where there is none.

        Without it nobody checks the labels by other means, and the record says so.
        """
        return None

    @property
    def unchecked(self) -> list[str]:
        """In words, what of it nobody checks: its labels where it has no `plain_judge`, and what no known text asks."""
        found = []
        if type(self).plain_judge is Judge.plain_judge:
            found.append(f"judge {self.settings.judge}: no independent reader makes its judgements a second time")
        if self.harm_only:
            found.append(f"judge {self.settings.judge}: no known text does harm, so that nobody knows what it misses")
        return found


def judge(settings: DeclaredJudge) -> Judge:
    """The judge that an entry of a spec names. Raises UserError where its module holds none, or it cannot be made."""
    declared = plugins.load("judges", settings.judge).Judge
    if not (isinstance(declared, type) and issubclass(declared, Judge)):
        raise plugins.unfit("judges", settings.judge, "its Judge derives from no harness.judges.base.Judge")
    try:
        made: Judge = declared(settings)
    except UserError:
        raise
    except Exception as error:  # whatever another's code does, it is not an error of the harness
        why = f"its Judge cannot be made: {type(error).__name__}: {error}"
        raise plugins.unfit("judges", settings.judge, why) from error
    plugins.refuse_without("judges", settings.judge, declared, Judge, "judge")
    return made
