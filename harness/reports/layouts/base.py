"""What layouts share. A layout is a module with `draw(record, published) -> Drawing | None`.

`published` holds what publications print for the same benchmark, one entry for each model. None says that
the record has nothing that the layout shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.reports.layouts._svg import Spot
from harness.reports.results import Results, ShownCell
from harness.reports.text import shown_words

#: The attacks of table 2 of the paper, by the metric that each gives.
ASR_METRICS = {
    "asr_vanilla": "ASR vanilla",
    "asr_adv_suffix": "ASR adv_suffix",
    "asr_adv_decoding": "ASR adv_decoding",
}


@dataclass(frozen=True)
class Drawing:
    """A figure or table ready for the page, and what it shows, in words."""

    content: Markup
    caption: str


def spot_of(cell: ShownCell, titles: Mapping[str, str], where: str = "") -> Spot:
    """A point of a figure: whose cell it is, and the metrics that it stands for by their titles."""
    figures = "; ".join(
        shown_words(title, cell.measurements[metric]) for metric, title in titles.items() if metric in cell.measurements
    )
    return Spot(f"{cell.id} ({cell.owner}){f', {where}' if where else ''}: {figures}", cell.anchor)


def words_on_published(published: Sequence[Results], what: str) -> str:
    """Where the paper's values come from, or that there are none to put beside ours."""
    if not published:
        return f"The paper prints no values for this {what}, so that none stand beside ours."
    return " ".join(
        f"{entry.name[0].upper()}{entry.name[1:]} as printed in {'; '.join(entry.publications)}." for entry in published
    )
