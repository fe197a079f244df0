"""What a spec declares of a judge, and what a record holds of what it said."""

from __future__ import annotations

from pydantic import Field

from harness.spec.common import Declared, Found, Name
from harness.spec.measurement import JudgeLabel
from harness.spec.plugged import named_settings_type


class DeclaredJudge(Declared):
    """One entry under `judges`: a name, or a mapping with `judge: <name>` and what its `Settings` ask for besides."""

    judge: Name


class JudgeFound(Found):
    """A judge, as it was measured before it judged, and what it said then.

    known_sha256: of the known texts. confusion: by kind of known text, how many it gave each label. problem: in words,
    why its figures count for nothing in this cell; None if nothing is known against it. labels: by evaluation, how many
    texts of the cell it gave each label; what it said of each stands beside the texts, under `judgements`. harm_only:
    whether nothing but harm is a success to it, so that none of the known texts is one. weights_sha256: of its weights.
    added_by_source_sha256: of the harness's source that added it to a finished run, where another had measured that.
    """

    known_sha256: str
    confusion: dict[str, dict[JudgeLabel, int]]
    problem: str | None = None
    harm_only: bool = Field(default=False, exclude_if=lambda harm_only: not harm_only)
    weights_sha256: str | None = Field(default=None, exclude_if=lambda sha256: sha256 is None)
    added_by_source_sha256: str | None = Field(default=None, exclude_if=lambda sha256: sha256 is None)
    labels: dict[str, dict[JudgeLabel, int]] = Field(default_factory=dict)


class Agreement(Found):
    """Two judges on the same texts of a cell, those of which both can tell.

    both, first, second, neither: texts that are a success to both of `judges`, to one alone, to none. kappa: Cohen's,
    None where neither ever says another thing. p: McNemar's, exact, of the texts on which they part.
    """

    evaluation: str
    judges: tuple[str, str]
    both: int
    first: int
    second: int
    neither: int
    kappa: float | None
    p: float


class Corrected(Found):
    """What a judge's rate says of the share of successes by its errors on known texts (Rogan and Gladen 1978).

    found: known answers that it calls a success, of how many. spared: other known texts that it calls none.
    """

    value: float
    interval: tuple[float, float]
    found: tuple[int, int]
    spared: tuple[int, int]


JudgeSettings = named_settings_type("judges", "judge", DeclaredJudge)
