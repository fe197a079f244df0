"""Figure 4: a figure of every linear layer over its block, attention and MLP told apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes

from harness.reports.layouts._svg import Style, draw_panels, line, plain, point
from harness.reports.layouts.base import Drawing, spot_of, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.spec.layers import LAYER_TYPES
from harness.spec.measurement import Measurement
from harness.spec.result import RunRecord

METRIC = re.compile(r"(?P<name>.+)/model\.layers\.(?P<block>\d+)\.(?P<module>self_attn|mlp)\.(?P<type>\w+)")
COLUMNS = 3
#: Attention in cool colours and whole lines, MLP in warm colours and dashed.
_ATTENTION = [
    Style("#0072b2", "o", "-"),
    Style("#56b4e9", "s", "-"),
    Style("#009e73", "D", "-"),
    Style("#444444", "^", "-"),
]
_MLP = [Style("#d55e00", "v", "--"), Style("#cc79a7", "P", "--"), Style("#e69f00", "*", "--")]


class LayerPoint(NamedTuple):
    """A layer's figure in one cell."""

    block: int
    measured: Measurement
    cell: ShownCell


#: One panel's lines: by module and layer type, points in the order of the blocks.
Lines = dict[tuple[str, str], list[LayerPoint]]


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """One panel for each metric that is measured for single layers, in each cell that has it."""
    panels = panels_of(results_of_run(record))
    for entry in published:
        panels |= {f"{entry.name}, {title}": lines for title, lines in panels_of(entry).items()}
    if not panels:
        return None
    caption = (
        "One line for each layer type: attention with whole lines, MLP with dashed ones; hollow where a value "
        f"is invalid. {words_on_published(published, 'figure')}"
    )
    return Drawing(draw_lines_of(record.id, panels, min(COLUMNS, len(panels))), caption)


def draw_lines_of(name: str, panels: Mapping[str, Lines], columns: int) -> Markup:
    """Inline SVG of the panels by their titles, row by row; name: of the record, see `draw_panels`."""
    look = _look({key for lines in panels.values() for key in lines})
    rows = -(-len(panels) // columns)

    def fill(axes: list[list[Axes]]) -> None:
        places = [axis for row in axes for axis in row]
        for axis, (title, lines) in zip(places, panels.items(), strict=False):
            _draw_lines(axis, lines, look)
            axis.set(
                title=plain(title), xlabel="block", ylim=(min(-0.03 * axis.get_ylim()[1], axis.get_ylim()[0]), None)
            )
            axis.locator_params(axis="x", integer=True)
        for axis in places[len(panels) :]:
            axis.remove()

    return draw_panels(name, rows, columns, fill, {_label(key): style for key, style in look.items()})


def panels_of(results: Results) -> dict[str, Lines]:
    """By title: the metric's name, with the cell's where several cells have it."""
    found: dict[tuple[str, str], Lines] = defaultdict(lambda: defaultdict(list))
    for cell in results.cells:
        for metric, measured in cell.measurements.items():
            match = METRIC.fullmatch(metric)
            if match and cell.number(metric) is not None:
                lines = found[match["name"], cell.id]
                lines[match["module"], match["type"]].append(LayerPoint(int(match["block"]), measured, cell))
    names = [name for name, _ in found]
    return {
        name if names.count(name) == 1 else f"{name}, {cell_id}": {
            key: sorted(points, key=lambda place: place.block) for key, points in lines.items()
        }
        for (name, cell_id), lines in found.items()
    }


def _look(keys: set[tuple[str, str]]) -> dict[tuple[str, str], Style]:
    """A style for each layer type, in the order of the model."""
    ordered = sorted(
        keys, key=lambda key: (LAYER_TYPES.index(key[1]) if key[1] in LAYER_TYPES else len(LAYER_TYPES), key)
    )
    attention = [key for key in ordered if key[0] == "self_attn"]
    mlp = [key for key in ordered if key[0] == "mlp"]
    return {
        key: family[number % len(family)]
        for keys_of, family in ((attention, _ATTENTION), (mlp, _MLP))
        for number, key in enumerate(keys_of)
    }


def _draw_lines(axis: Axes, lines: Lines, look: dict[tuple[str, str], Style]) -> None:
    for key in look:
        if key not in lines:
            continue
        line(axis, [(block, measured.value) for block, measured, _ in lines[key]], look[key])
        for block, measured, cell in lines[key]:
            point(
                axis,
                block,
                measured.value,
                look[key],
                measured.valid,
                y_interval=measured.interval,
                spot=spot_of(cell, {measured.metric: _label(key)}, f"block {block}"),
            )


def _label(key: tuple[str, str]) -> str:
    return f"{'attention' if key[0] == 'self_attn' else 'MLP'} {key[1]}"
