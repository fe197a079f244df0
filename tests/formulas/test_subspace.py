"""Ranks against a float64 SVD of W X_in itself, by hand, and by the properties of projectors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas import subspace
from harness.formulas.subspace import (
    all_directions,
    leading_directions,
    leading_directions_by_blocks,
    least_directions,
    projection_factors,
    rank_above_rounding,
    removal_factors,
    subspace_similarity,
)


def layer(d_out, d_in, tokens=None, seed=0):
    """W, X_in and G with singular values that fall off."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(d_out, d_in, generator=generator, dtype=torch.float64)
    inputs = torch.randn(d_in, tokens or 3 * d_in, generator=generator, dtype=torch.float64)
    inputs *= 0.9 ** torch.arange(d_in, dtype=torch.float64)[:, None]
    return weight, inputs, inputs @ inputs.mT


def projector(basis):
    return basis @ basis.mT


def delta(factors, weight):
    return factors.left @ (factors.right @ weight)


def test_directions_by_hand():
    weight = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    gram = torch.diag(torch.tensor([9.0, 4.0]))  # W G Wᵀ = diag(16, 9)
    directions, singular_values = leading_directions(weight, gram, 2)
    torch.testing.assert_close(directions, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(singular_values, torch.tensor([4.0, 3.0], dtype=torch.float64))
    assert delta(removal_factors(directions[:, :1]), weight.double()).tolist() == [[0.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9)])
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_directions_equal_the_svd_of_the_outputs(shape, rank):
    weight, inputs, gram = layer(*shape)
    left, values, _ = torch.linalg.svd(weight @ inputs, full_matrices=False)
    limit = min(shape)
    top, found = leading_directions(weight, gram, rank)
    torch.testing.assert_close(found, values[:rank], rtol=1e-8, atol=0)
    torch.testing.assert_close(projector(top), projector(left[:, :rank]), rtol=0, atol=1e-6)
    least, found = least_directions(weight, gram, rank)
    torch.testing.assert_close(projector(least), projector(left[:, limit - rank : limit]), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, values[limit - rank : limit], rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_directions_stay_orthonormal_where_the_inputs_span_less_than_the_layer(shape):
    weight, _, gram = layer(*shape, tokens=2)
    directions, values = all_directions(weight, gram)
    torch.testing.assert_close(directions.mT @ directions, torch.eye(7, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (values[2:] < 1e-6 * values[0]).all()
    torch.testing.assert_close(projector(directions) @ weight, weight)


@pytest.mark.parametrize("shape", [(600, 520), (520, 600)])
def test_the_block_method_agrees_with_the_full_eigenproblem(shape):
    weight, _, gram = layer(*shape)
    full, values = all_directions(weight, gram)
    found, found_values = leading_directions_by_blocks(weight, gram, 2)
    torch.testing.assert_close(found_values, values[:2], rtol=1e-10, atol=0)
    gap = float((values[1] ** 2 - values[2] ** 2) / values[0] ** 2)
    assert torch.linalg.matrix_norm(projector(found) - projector(full[:, :2]), 2) <= 4 * subspace.TOLERANCE / gap
    residual = (weight @ (gram @ (weight.mT @ found)) - found * found_values**2).norm(dim=0)
    assert (residual <= 2 * subspace.TOLERANCE * values[0] ** 2).all()
    assert torch.equal(found, leading_directions(weight, gram, 2)[0])  # this is the method that is taken
    assert torch.equal(found, leading_directions_by_blocks(weight, gram, 2)[0])


def test_a_spectrum_without_gap_falls_back_to_the_full_eigenproblem():
    close = 1 - 1e-6 * torch.arange(100, dtype=torch.float64)
    gram = torch.diag(torch.cat([close, torch.linspace(0.9, 0, 500, dtype=torch.float64)]))
    weight = torch.eye(600, dtype=torch.float64)
    assert leading_directions_by_blocks(weight, gram, 4) is None
    directions, _ = leading_directions(weight, gram, 4)
    torch.testing.assert_close(directions, torch.eye(600, 4, dtype=torch.float64), rtol=0, atol=1e-8)


@given(
    d_out=st.integers(2, 8),
    d_in=st.integers(2, 8),
    r_u=st.integers(0, 8),
    r_s=st.integers(0, 8),
    seed=st.integers(0, 20),
)
def test_the_projection_is_that_of_the_equation_and_its_rank_is_bounded(d_out, d_in, r_u, r_s, seed):
    limit = min(d_out, d_in)
    r_u, r_s = min(r_u, limit), min(r_s, limit)
    weight, safety_inputs, safety_gram = layer(d_out, d_in, seed=seed)
    _, utility_inputs, utility_gram = layer(d_out, d_in, seed=seed + 100)
    factors = projection_factors(weight, safety_gram, utility_gram, r_s, r_u)
    projectors = []
    for inputs, removed in ((safety_inputs, r_s), (utility_inputs, r_u)):
        left = torch.linalg.svd(weight @ inputs, full_matrices=False)[0]
        projectors.append(projector(left[:, : limit - removed]))
    wanted = (torch.eye(d_out, dtype=torch.float64) - projectors[1]) @ projectors[0] @ weight
    torch.testing.assert_close(delta(factors, weight), wanted, rtol=0, atol=1e-5)
    assert factors.left.shape[1] == factors.right.shape[0] == min(r_u, limit - r_s)


@given(d_out=st.integers(1, 8), d_in=st.integers(1, 8), rank=st.integers(0, 8), seed=st.integers(0, 20))
def test_removed_and_kept_directions_make_up_the_weights(d_out, d_in, rank, seed):
    weight, _, gram = layer(d_out, d_in, seed=seed)
    limit = min(d_out, d_in)
    rank = min(rank, limit)
    top, _ = leading_directions(weight, gram, rank)
    rest, _ = least_directions(weight, gram, limit - rank)
    torch.testing.assert_close(projector(top) @ projector(top), projector(top), rtol=0, atol=1e-12)
    assert float((top.mT @ rest).abs().max() if top.numel() and rest.numel() else 0) < 1e-12
    whole = delta(removal_factors(top), weight) + delta(removal_factors(rest), weight)
    torch.testing.assert_close(whole, weight)


@given(r_u=st.integers(1, 6), r_s=st.integers(1, 6), seed=st.integers(0, 20))
def test_similarity_is_symmetric_between_0_and_1_and_1_for_a_subspace_within_another(r_u, r_s, seed):
    weight, _, gram = layer(6, 6, seed=seed)
    _, _, other = layer(6, 6, seed=seed + 100)
    first, second = leading_directions(weight, gram, r_u)[0], leading_directions(weight, other, r_s)[0]
    found = subspace_similarity(first, second)
    assert -1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(subspace_similarity(second, first))
    assert subspace_similarity(first, first) == pytest.approx(1.0)
    assert subspace_similarity(all_directions(weight, gram)[0], second) == pytest.approx(1.0)


def test_similarity_by_hand():
    x, y, z = torch.eye(3, dtype=torch.float64).unsqueeze(-1)
    assert subspace_similarity(x, y) == 0.0
    assert subspace_similarity(torch.cat([x, y], 1), torch.cat([y, z], 1)) == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_rounding_adds_no_rank_and_hides_none(dtype, rank):
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(60, 40, generator=generator).to(dtype).double()
    basis = torch.linalg.qr(torch.randn(60, 40, generator=generator, dtype=torch.float64)).Q[:, :rank]
    after = (before - basis @ (basis.mT @ before)).to(dtype)
    assert rank_above_rounding(before - after.double(), after) == rank


@pytest.mark.parametrize("rank", [-1, 5])
def test_a_rank_that_the_layer_does_not_have_is_refused(rank):
    weight, _, gram = layer(4, 6)
    with pytest.raises(ValueError, match="expected 0 to 4"):
        leading_directions(weight, gram, rank)


@pytest.mark.parametrize("shape", [(12, 12), (12, 20), (20, 12)])
def test_directions_behind_the_rank_of_the_inputs_do_not_depend_on_rounding(shape):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(*shape, generator=generator, dtype=torch.float64)
    inputs = torch.randn(shape[1], 4, generator=generator, dtype=torch.float64)
    gram = inputs @ inputs.mT
    noise = torch.randn(gram.shape, generator=generator, dtype=torch.float64)
    nearly = gram * (1 + 1e-15 * noise)
    exact, values = all_directions(weight, gram)
    rounded, _ = all_directions(weight, (nearly + nearly.mT) / 2)
    assert int((values > 1e-6 * values[0]).sum()) == 4
    for count in range(1, 9):  # wherever a region cuts through them, the same space is removed
        first, second = exact[:, -count:], rounded[:, -count:]
        assert torch.allclose(first @ first.mT, second @ second.mT, atol=1e-9), count
    assert torch.allclose(exact.mT @ exact, torch.eye(exact.shape[1], dtype=torch.float64), atol=1e-12)


def test_without_inputs_the_directions_are_fixed_as_well():
    directions, values = all_directions(torch.eye(5), torch.zeros(5, 5))
    assert not values.any()
    assert torch.equal(directions.abs().round(), directions.abs())
    assert torch.allclose(directions @ directions.mT, torch.eye(5, dtype=torch.float64))
