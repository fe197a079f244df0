"""What the parts of a spec say of one another: every name leads to something, and to one thing.

It looks at the sound parts of a file, so that a fault in one part hides none in another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import plugins
from harness.spec.cell import Cell
from harness.spec.claim import Claim, Reference
from harness.spec.common import KeyPath
from harness.spec.metrics import looked_up, repeated_metrics, unknown_metrics
from harness.spec.region import RegionSettings

#: The name of the cell that every other cell is compared with.
INTACT = "intact"
#: A fault, and the key in the file at which it lies.
Problem = tuple[KeyPath, str]


@dataclass(frozen=True)
class Parts:
    """The sound parts of a spec by their number in the file; cells are expanded, by group.

    all_cells, all_evaluations: whether every one is sound, without which none can be missed.
    """

    calibration: Collection[str]
    cells: Mapping[int, Sequence[Cell]]
    evaluations: Mapping[int, Any]
    claims: Mapping[int, Claim]
    all_cells: bool = True
    all_evaluations: bool = True


def unresolved(parts: Parts) -> list[Problem]:
    """Every name that leads nowhere or to two things."""
    problems = [*_repeated(parts), *_calibration_sets(parts)]
    problems += [*repeated_metrics(parts.evaluations), *_judges_with_two_settings(parts)]
    if parts.all_cells:
        problems += [*_missing_cells(parts), *_comparisons_with_nothing(parts), *_figures_of_other_cells(parts)]
    if parts.all_evaluations:
        problems += [*_uncalibrated_attacks(parts), *unknown_metrics(parts.evaluations, parts.claims)]
    return list(dict.fromkeys(problems))


def _repeated(parts: Parts) -> Iterator[Problem]:
    named = [
        ("cells", "cell", [(index, cell.id) for index, cells in parts.cells.items() for cell in cells]),
        ("evaluations", "evaluation", [(index, entry.name) for index, entry in parts.evaluations.items()]),
        ("claims", "claim", [(index, claim.id) for index, claim in parts.claims.items()]),
    ]
    for section, what, entries in named:
        seen: dict[str, str] = {}
        for index, name in entries:
            other = seen.get(name.lower())
            if other == name:
                yield (section, index), f"{what} {name!r} is declared twice"
            elif other is not None:
                yield (section, index), f"{what}s {other!r} and {name!r} are one file on some systems; rename one"
            seen[name.lower()] = name


def _calibration_sets(parts: Parts) -> Iterator[Problem]:
    for index, cells in parts.cells.items():
        for cell in cells:
            frozen = cell.fine_tuning.frozen if cell.fine_tuning else None
            places = [(("region",), cell.region), (("fine_tuning", "frozen"), frozen)]
            for place, region in places:
                for key, name in _named_sets(region):
                    if name not in parts.calibration:
                        yield ("cells", index, *place, *key), _no_calibration_set(name, parts)
    for index, evaluation in parts.evaluations.items():
        for name in evaluation.calibration_sets:
            if name not in parts.calibration:
                yield ("evaluations", index), _no_calibration_set(name, parts)


def _named_sets(region: RegionSettings | None) -> Iterator[tuple[KeyPath, str]]:
    """(key inside the region, calibration set) of all that it names, those of its parts included."""
    if region is None:
        return
    yield from (((role,), name) for role, name in region.sets_by_role.items() if name is not None)
    for part, inner in region.parts.items():
        yield from (((part, *key), name) for key, name in _named_sets(inner))


def _no_calibration_set(name: str, parts: Parts) -> str:
    return f"no calibration set {name!r}; {plugins.suggestion(name, parts.calibration)}"


def _missing_cells(parts: Parts) -> Iterator[Problem]:
    cells = [cell for group in parts.cells.values() for cell in group]
    if INTACT not in {cell.id for cell in cells}:
        yield ("cells",), f"there is no cell {INTACT!r} (a cell without region), which the others are compared with"
    known = {cell.id for cell in cells} | {cell.group for cell in cells}
    for index, claim in parts.claims.items():
        named: list[tuple[tuple[str | int, ...], str]] = [
            (("cells", number), name) for number, name in enumerate(claim.cells)
        ]
        for number, condition in enumerate(claim.conditions):
            side = "at_least" if condition.at_least is not None else "at_most"
            if isinstance(condition.bound, Reference) and condition.bound.cell is not None:
                named.append((("conditions", number, side, "cell"), condition.bound.cell))
        for place, name in named:
            if name not in known:
                yield ("claims", index, *place), f"no cell {name!r}; {plugins.suggestion(name, known)}"


def _comparisons_with_nothing(parts: Parts) -> Iterator[Problem]:
    """Evaluations that compare changed models with the intact one, where every model is the intact one."""
    if any(cell.changes_weights for group in parts.cells.values() for cell in group):
        return
    for index, evaluation in parts.evaluations.items():
        if evaluation.compares_with_intact:
            text = (
                f"{evaluation.name} compares changed models with the intact one, but no cell here changes the "
                "weights; expected one with fine_tuning or region"
            )
            yield ("evaluations", index), text


#: What evaluations are measured in, by `measured_in` of their settings: for errors.
_PLACES = {
    "intact": ("where the weights are left alone", "intact cells"),
    "fine_tuned": ("after a fine-tuning", "cells with fine_tuning"),
}


def is_measured(evaluation: Any, cell: Any) -> bool:
    """Whether an evaluation is for a cell: `measured_in` of its settings may keep it to some."""
    fits = {"any": True, "intact": not cell.changes_weights, "fine_tuned": cell.fine_tuning is not None}
    return fits[evaluation.measured_in]


def _figures_of_other_cells(parts: Parts) -> Iterator[Problem]:
    """Claims that look for a figure in a cell in which its evaluation is not measured."""
    kept = [entry for entry in parts.evaluations.values() if entry.measured_in in _PLACES]
    by_name: dict[str, list[Any]] = {}
    for cell in (cell for group in parts.cells.values() for cell in group):
        for name in (cell.id, cell.group):
            by_name.setdefault(name, []).append(cell)
    for key, metric, cells in looked_up(parts.claims):
        owner = next(
            (entry for entry in kept if metric in entry.metrics or metric.startswith(tuple(entry.metric_prefixes))),
            None,
        )
        if owner is None:
            continue
        chosen = (cell for name in cells for cell in by_name.get(name, []))
        lacking = next((cell.id for cell in chosen if not is_measured(owner, cell)), None)
        if lacking is not None:
            where, expected = _PLACES[owner.measured_in]
            yield (
                key,
                (
                    f"{owner.name} is measured {where}, so that the cell {lacking} has no {metric}; "
                    f"expected {expected} only"
                ),
            )


def _judges_with_two_settings(parts: Parts) -> Iterator[Problem]:
    """A judge is measured once in a run, and has one entry in the record."""
    known: dict[str, Any] = {}
    for index, entry in parts.evaluations.items():
        for number, judge in enumerate(entry.judged_by):
            if known.setdefault(judge.judge, judge) != judge:
                text = f"{judge.judge} has other settings than in an evaluation above; expected the same everywhere"
                yield ("evaluations", index, "judges", number), text


def _uncalibrated_attacks(parts: Parts) -> Iterator[Problem]:
    """Attacks whose texts could not be judged: no evaluation shows how the intact model answers in its format."""
    attacks = {index: entry for index, entry in parts.evaluations.items() if entry.generates_texts}
    if any(attack.calibrates_validity for attack in attacks.values()):
        return
    for index, attack in attacks.items():
        lacks = "has suffixes" if attack.chat_template else "has no chat template"
        text = (
            f"{attack.name} {lacks}, and no attack here has a template and no suffixes: nothing calibrates "
            "which texts are answers; expected one with chat_template: true and without suffixes"
        )
        yield ("evaluations", index), text
