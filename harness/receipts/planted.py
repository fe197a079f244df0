"""Receipt of the comparison with the planted region: counted anew from its file, whatever the cell removes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from harness.models.editing import FoundRegion, SelectedWeights
from harness.spec.receipt import EditReceipt, StageReceipt

#: Weights that are selected, that are planted, and that are both.
_Counts = tuple[int, int, int]


def plainly_planted(path: Path) -> dict[str, Tensor]:
    """Masks by layer as the file of a planted region has them, read by nothing that regions are read with."""
    return {name: part != 0 for name, part in load_file(path).items()}


def compared_with_planted(
    region: FoundRegion | None, edit: EditReceipt | None, path: Path | None
) -> list[StageReceipt]:
    """Whether an edit of single weights was compared with the planted region as its file has it, layer by layer.

    path: of the file; None where the variant has none, and then there is no receipt.
    """
    if edit is None or path is None or not isinstance(region, SelectedWeights):
        return []
    by_layer = _counts_by_layer(region.masks, plainly_planted(path))
    told = {
        name: (truth.selected, truth.planted, truth.both)
        for name, truth in (("all layers", edit.truth), *edit.truth_by_layer.items())
        if truth is not None
    }
    selected, planted, both = (sum(column) for column in zip(*by_layer.values(), strict=True))
    wanted = {"all layers": (selected, planted, both), **by_layer}
    wrong = [name for name in dict.fromkeys([*wanted, *told]) if told.get(name) != wanted.get(name)]
    seen = "that"
    if wrong:
        seen = f"{_words(told.get(wrong[0]))} in {wrong[0]}, where the file gives {_words(wanted.get(wrong[0]))}"
    return [
        StageReceipt(
            stage="mask",
            name="truth",
            holds=not wrong,
            expected=f"{_words((selected, planted, both))}, as the file of the planted region has it",
            seen=seen,
            advice="precision and recall are against another region than the planted one: look at what reads its file",
            evidence={"selected": selected, "planted": planted, "both": both, "wrong": len(wrong)},
        )
    ]


def _counts_by_layer(masks: Mapping[str, Tensor], planted: Mapping[str, Tensor]) -> dict[str, _Counts]:
    """Of every layer of either."""
    found = {}
    for name in dict.fromkeys([*masks, *planted]):
        parts = [side[name].cpu().numpy() if name in side else None for side in (masks, planted)]
        one, other = parts
        both = 0 if one is None or other is None else int((one & other).sum())
        found[name] = (0 if one is None else int(one.sum()), 0 if other is None else int(other.sum()), both)
    return found


def _words(counts: _Counts | None) -> str:
    if counts is None:
        return "nothing compared"
    return f"{counts[2]} of {counts[0]} selected weights among {counts[1]} planted ones"
