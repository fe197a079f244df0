"""Receipt of attention heads: those of a region are the best by their probes, and the probes fit again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from harness.probing.again import Probed
from harness.spec.receipt import LookedAt, StageReceipt


def plain_heads(
    layers: Mapping[str, nn.Linear], accuracy: Tensor, fraction: float, key_value_heads: int
) -> dict[str, Tensor]:
    """Masks of the heads of the largest accuracy: rows of q, k and v, columns of o.

    layers: all of the model. accuracy: (blocks, heads). A head of k and v goes where all heads that read it go.
    """
    blocks, heads = accuracy.shape
    order = np.lexsort((np.arange(blocks * heads), -accuracy.flatten().numpy()))
    chosen = np.zeros(blocks * heads, dtype=bool)
    chosen[order[: max(1, round(fraction * blocks * heads))]] = True
    by_block = chosen.reshape(blocks, heads)
    masks = {}
    for name, layer in layers.items():
        block, kind = int(name.split(".layers.")[1].split(".")[0]), name.rpartition(".")[2]
        if kind not in ("q_proj", "k_proj", "v_proj", "o_proj") or not by_block[block].any():
            continue
        gone = by_block[block]
        if kind in ("k_proj", "v_proj"):
            gone = gone.reshape(key_value_heads, -1).all(axis=1)
        size = (layer.in_features if kind == "o_proj" else layer.out_features) // len(gone)
        places = np.repeat(gone, size)
        lines = places[None, :] if kind == "o_proj" else places[:, None]
        masks[name] = torch.from_numpy(np.ascontiguousarray(np.broadcast_to(lines, tuple(layer.weight.shape))))
    return masks


def best_heads(masks: Mapping[str, Tensor], accuracy: Tensor, again: Sequence[Probed]) -> StageReceipt:
    """Whether the heads of a region are those whose probes are right most often, by probes that are right.

    masks: of the region, by layer. accuracy: (blocks, heads), that they were chosen by. again: of some heads.
    """
    blocks, heads = accuracy.shape
    chosen = {
        (int(name.split(".layers.")[1].split(".")[0]), head)
        for name, mask in masks.items()
        if name.endswith("q_proj")
        for head, rows in enumerate(mask.chunk(heads))
        if bool(rows.any())
    }
    order = np.lexsort((np.arange(blocks * heads), -accuracy.flatten().numpy()))[: len(chosen)]
    others = chosen - {(int(place) // heads, int(place) % heads) for place in order}
    wrong = [each for each in again if each.departs(float(accuracy[each.head.block, each.head.head]))]
    problems = [f"{len(others)} heads that are none of them"] if others else []
    problems += [
        f"a probe of head {each.head.head} of block {each.head.block + 1} right on "
        f"{float(accuracy[each.head.block, each.head.head]) * each.prompts:g} of {each.prompts} prompts, fitted again "
        f"on {each.sure} to {each.sure + each.unsure}"
        for each in wrong
    ]
    return StageReceipt(
        stage="mask",
        name="best-heads",
        holds=not problems,
        expected=f"the {len(chosen)} heads whose probes tell the two classes best, by probes that fit again",
        seen="; ".join(problems) or "them",
        advice="look at the probes' prompts, labels and split, and at what sorts heads by their accuracy",
        evidence={"heads": len(chosen), "others": len(others), "fitted_otherwise": len(wrong)},
        looked_at=(LookedAt(what="heads, probed again", seen=len(again), of=blocks * heads),),
    )
