"""Regions that are taken from the wrong end, cut along the wrong heads, or said to be of another size."""

import pytest
import torch

from harness.faults.seam import replaced
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: regions
title: Ends, heads and ranks
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: bottom, title: Bottom, region: {select: bottom, method: wanda, data: safety, fraction: 0.05}}
  - {id: ranks, title: Ranks, region: {select: act-svd, data: safety, rank: 2}}
  - {id: least, title: Least ranks, region: {select: act-svd, data: safety, rank: 2, end: bottom}}
  - {id: projection, title: Projection, region: {select: orthogonal-projection, safety: safety, utility: safety,
                                                 utility_rank_removed: 30, safety_rank_removed: 20}}
  - {id: heads, title: Heads, region: {select: attention-heads, harmful: probing-harmful, harmless: probing-harmless,
                                       prompts: 40, fraction: 0.3}}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""
CELLS = ["bottom", "ranks", "least", "projection", "heads"]


def said(organism, tmp_path, cells):
    """The verdict, and its reasons."""
    record, _ = run_in_process(bound_on(organism, tmp_path, SPEC, set(cells)), tmp_path / "runs")
    return record.verdict.status, " ".join(record.verdict.reasons)


def test_without_a_fault_they_pass(organism, tmp_path):
    assert said(organism, tmp_path, CELLS) == ("passed", "")


def the_other_end(right):
    from harness.formulas.selection import top_mask

    return lambda scores, fraction, group: top_mask(scores, fraction, group)


def the_largest(right):
    from harness.formulas.subspace import leading_directions

    return lambda weight, gram, rank: leading_directions(weight, gram, rank)


def interleaved(right):
    """Heads 0, 2, 4, ... first, as if query heads of one group stood far apart."""

    def dimensions(chosen, count, size):
        own = right(chosen, count, size).reshape(count, size)
        order = [*range(0, count, 2), *range(1, count, 2)]
        return own[torch.tensor(order)].reshape(-1)

    return dimensions


def groups_side_by_side(right):
    """A group's query heads taken as those with one remainder, not those beside each other."""

    def masks(model, heads):
        from harness.probing.heads import head_layout

        layout, own = head_layout(model), right(model, heads)
        count, size = layout.key_value_heads, layout.head_size
        for name in [each for each in own if each.endswith(("k_proj", "v_proj"))]:
            query = own[name.replace("k_proj", "q_proj").replace("v_proj", "q_proj")]
            gone = query.reshape(layout.heads, size, -1).all(dim=2).all(dim=1)
            wrong = torch.stack([gone[group::count].any() for group in range(count)])
            own[name] = wrong.repeat_interleave(size)[:, None].expand(own[name].shape).contiguous()
        return own

    return masks


def half_the_share(right):
    return lambda *given: {**(facts := right(*given)), "rank_share": facts["rank_share"] / 2}


def twice_as_many(right):
    return lambda *given: 2 * right(*given)


def rounded_before(right):
    """Weights that pass through float16 before ranks are taken out of them."""

    def subtract(model, factors):
        layers = dict(model.named_modules())
        own = {name: layers[name].weight.detach().clone() for name in factors}
        with torch.no_grad():
            for name in factors:
                layers[name].weight.copy_(own[name].half())
        right(model, factors)
        return own

    return subtract


def the_longer_side(right):
    return lambda weight: max(weight.shape)


@pytest.mark.parametrize(
    ("organism_of", "target", "wrong", "cell", "words"),
    [
        ("tiny-llama2-chat", "formulas.selection:bottom_mask", the_other_end, "bottom", "mask/selection"),
        ("tiny-llama2-chat", "formulas.subspace:least_directions", the_largest, "least", "mask/ranks"),
        ("tiny-llama2-chat", "probing.heads:_dimensions", interleaved, "heads", "mask/"),
        ("tiny-llama3-instruct", "probing.heads:_dimensions", interleaved, "heads", "mask/"),
        ("tiny-llama3-instruct", "probing.heads:head_masks", groups_side_by_side, "heads", "mask/plain-definition"),
        ("tiny-llama2-chat", "models.editing:_facts_of_ranks", half_the_share, "ranks", "edit rank_share of ranks"),
        ("tiny-llama2-chat", "models.editing:rank_above_rounding", twice_as_many, "ranks", "no more than asked for"),
        ("tiny-llama2-chat", "models.editing:direction_count", the_longer_side, "ranks", "edit R of all layers"),
        (
            "tiny-llama2-chat",
            "models.editing:subtract_low_rank",
            rounded_before,
            "projection",
            "no more than asked for",
        ),
        ("tiny-llama2-chat", "models.editing:subtract_low_rank", rounded_before, "ranks", "no more than asked for"),
    ],
    ids=[
        "bottom",
        "least",
        "heads",
        "heads in groups",
        "groups",
        "share",
        "ranks",
        "directions",
        "rounded",
        "rounded ranks",
    ],
)
def test_it_is_caught_and_named(tmp_path, organism_of, target, wrong, cell, words):
    with replaced(f"harness.{target}", wrong):
        status, reasons = said(organism_of, tmp_path, [cell])
    assert status == "invalid"
    assert words in reasons
