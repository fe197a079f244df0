"""Regions of ranks, from a declaration to the factors of ΔW, against activations that are kept."""

from dataclasses import replace

import pytest
import torch

from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.errors import UserError
from harness.models.editing import SelectedRanks, region_removed
from harness.models.fingerprint import model_fingerprint, weights_fingerprint
from harness.models.layers import linear_layers
from harness.regions.act_svd import Settings as ActSvdRegion
from harness.regions.orthogonal_projection import Settings as OrthogonalProjectionRegion
from harness.regions.top import Settings as TopRegion
from harness.runs.regions import RegionFinder
from harness.runs.store import TensorStore
from harness.spec.region import AttributionSettings
from tests.low_rank.conftest import kept_inputs


@pytest.fixture
def finder(loaded, pairs_csv, tmp_path):
    pairs = draw(read_pairs(pairs_csv), 6, seed=0)
    samples = {name: tokenise(part, loaded.tokenizer, 128) for name, part in (("s", pairs[:4]), ("u", pairs[2:]))}
    return RegionFinder(
        loaded.model,
        model_fingerprint(loaded.model),
        lambda name, seed: samples[name],
        AttributionSettings(),
        TensorStore(tmp_path / "store"),
        {"machine": "this"},
        None,
        None,
    )


def act_svd(**fields):
    return ActSvdRegion.model_validate({"select": "act-svd", "data": "s", **fields})


def projection(r_u, r_s, **fields):
    return OrthogonalProjectionRegion.model_validate(
        {
            "select": "orthogonal-projection",
            "safety": "s",
            "utility": "u",
            "utility_rank_removed": r_u,
            "safety_rank_removed": r_s,
            **fields,
        }
    )


def deltas(model, found):
    return {n: f.left @ (f.right @ linear_layers(model)[n].weight.double()) for n, f in found.factors.items()}


def top_projector(weight, inputs, count):
    left = torch.linalg.svd(weight @ inputs, full_matrices=False)[0][:, :count]
    return left @ left.mT


def assert_close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-3 * float(wanted.abs().max()))


def test_act_svd_removes_the_top_directions_of_the_outputs(finder):
    found = deltas(finder.model, finder.find(act_svd(rank=2)))
    kept = kept_inputs(finder.model, finder.samples("s", None))
    for name, layer in linear_layers(finder.model).items():
        weight = layer.weight.double()
        assert_close(found[name], top_projector(weight, kept[name], 2) @ weight)


def test_act_svd_at_the_bottom_keeps_all_but_the_least_directions(finder):
    found = deltas(finder.model, finder.find(act_svd(rank=2, end="bottom")))
    kept = kept_inputs(finder.model, finder.samples("s", None))
    for name, layer in linear_layers(finder.model).items():
        weight = layer.weight.double()
        assert torch.linalg.matrix_rank(found[name], rtol=1e-6) == 2
        outputs = torch.linalg.norm(found[name] @ kept[name]) / torch.linalg.norm(weight @ kept[name])
        values = torch.linalg.svdvals(weight @ kept[name])[: min(weight.shape)]
        assert outputs <= values[-2:].norm() / values.norm() + 1e-4


def test_the_orthogonal_projection_equals_the_equation(finder):
    found = deltas(finder.model, finder.find(projection(r_u=13, r_s=14)))
    safety, utility = (kept_inputs(finder.model, finder.samples(name, None)) for name in "su")
    checked = 0
    for name, layer in linear_layers(finder.model).items():
        weight = layer.weight.double()
        limit = min(weight.shape)
        last = [torch.linalg.svdvals(weight @ x)[limit - 14] for x in (safety[name], utility[name])]
        if min(last) < 1e-2 * torch.linalg.matrix_norm(weight, 2):
            continue  # so few tokens span fewer directions than are asked for: the rest are arbitrary
        checked += 1
        onto_safety = top_projector(weight, safety[name], limit - 14)
        onto_utility = top_projector(weight, utility[name], limit - 13)
        wanted = onto_safety @ weight - onto_utility @ onto_safety @ weight
        assert_close(found[name], wanted)
    assert checked >= 8


@pytest.mark.parametrize(("r_u", "r_s"), [(3, 14), (1, 4), (12, 15), (0, 8), (16, 16)])
def test_the_measured_rank_is_at_most_that_of_the_papers_table(finder, r_u, r_s):
    with region_removed(finder.model, finder.find(projection(r_u, r_s))) as edit:
        pass
    for name, layer in linear_layers(finder.model).items():
        limit = min(layer.weight.shape)
        assert edit.receipt.rank_by_layer[name] <= min(r_u, limit - r_s)
    if (r_u, r_s) == (12, 15):
        assert edit.receipt.rank_by_layer["model.layers.0.self_attn.k_proj"] == 1


def test_grams_are_measured_once_and_measured_anew_agree_to_the_bit(finder, tmp_path):
    first = finder.find(act_svd(rank=3))
    files = list((tmp_path / "store").glob("*.safetensors"))
    again = finder.find(act_svd(rank=3))
    finder.find(act_svd(rank=1))
    assert list((tmp_path / "store").glob("*.safetensors")) == files
    assert len(files) == 1
    files[0].unlink()
    anew = finder.find(act_svd(rank=3))
    for name, factors in first.factors.items():
        assert torch.equal(factors.left, again.factors[name].left)
        assert torch.equal(factors.left, anew.factors[name].left)


def test_block_by_block_measures_a_block_behind_the_edited_ones(finder):
    fingerprint = weights_fingerprint(finder.model)
    one_shot = finder.find(act_svd(rank=4)).factors
    blocks = finder.find(act_svd(rank=4, schedule="block_by_block")).factors
    assert weights_fingerprint(finder.model) == fingerprint
    first = {name: factors for name, factors in blocks.items() if ".layers.0." in name}
    assert all(torch.equal(factors.left, one_shot[name].left) for name, factors in first.items())
    with region_removed(finder.model, SelectedRanks(first)):
        wanted = (
            RegionFinder(
                finder.model,
                model_fingerprint(finder.model),
                finder.samples,
                finder.defaults,
                finder.store,
                {"machine": "this"},
                None,
                None,
            )
            .find(act_svd(rank=4))
            .factors
        )
    name = "model.layers.1.mlp.down_proj"
    torch.testing.assert_close(blocks[name].left, wanted[name].left, rtol=0, atol=1e-5)
    assert (blocks[name].left - one_shot[name].left).abs().max() > 0.01


def test_a_rank_that_a_layer_does_not_have_names_the_layer(finder):
    with pytest.raises(UserError, match=r"rank is 17, but model.layers.0.self_attn.k_proj is 16 x 32 and has 16"):
        finder.find(act_svd(rank=17))
    with pytest.raises(UserError, match="safety_rank_removed is 20"):
        finder.find(projection(1, 20))


@pytest.mark.parametrize("schedule", ["one_shot", "block_by_block"])
def test_scores_that_are_no_numbers_give_an_error_on_either_schedule(finder, schedule):
    linear_layers(finder.model)["model.layers.1.mlp.up_proj"].weight.data[0, 0] = float("nan")
    finder = replace(finder, model_sha256=model_fingerprint(finder.model))
    region = TopRegion.model_validate(
        {"select": "top", "method": "snip", "data": "s", "fraction": 0.1, "schedule": schedule}
    )
    with pytest.raises(UserError, match="not finite"):
        finder.find(region)
