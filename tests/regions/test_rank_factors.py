"""Ranks in layers of different width: grouped-query attention has fewer directions in k and v."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.errors import UserError
from harness.regions.act_svd import Settings as ActSvdRegion
from harness.regions.base import region
from harness.regions.orthogonal_projection import Settings as OrthogonalProjectionRegion
from harness.spec.region import AttributionSettings

WIDTHS = {"q_proj": 8, "k_proj": 4, "v_proj": 2}


@pytest.fixture(scope="module")
def layers():
    torch.manual_seed(0)
    return {name: nn.Linear(8, width, bias=False).double() for name, width in WIDTHS.items()}


@pytest.fixture(scope="module")
def grams():
    """Two of inputs in all directions."""
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(8, 40, generator=generator, dtype=torch.double) for _ in range(2)]
    return [dict.fromkeys(WIDTHS, x @ x.mT) for x in inputs]


def removed(settings, layers, grams):
    """The factors of ΔW by layer."""
    return region(settings).selected(AttributionSettings(), layers, grams).factors


def ranks_of_delta(declared, layers, grams):
    """Rank of ΔW by layer, from its singular values."""
    ranks = {}
    for name, factors in removed(declared, layers, grams).items():
        values = torch.linalg.svdvals(factors.left @ factors.right @ layers[name].weight)
        ranks[name] = int((values > 1e-9).sum())
    return ranks


@pytest.mark.parametrize(
    ("end", "rank", "expected"), [("top", 4, (4, 2, 1)), ("top", 1, (1, 1, 1)), ("bottom", 6, (6, 3, 2))]
)
def test_a_rank_of_eight_directions_is_the_same_share_of_fewer(layers, grams, end, rank, expected):
    declared = ActSvdRegion(select="act-svd", data="d", rank=rank, end=end, of_directions=8)
    assert tuple(ranks_of_delta(declared, layers, grams[:1]).values()) == expected


def test_a_projection_keeps_at_least_one_safety_direction_in_a_narrow_layer(layers, grams):
    # R = 8: 8 - 7 = 1 safety direction is kept; 4 of 8 utility directions are not protected.
    declared = OrthogonalProjectionRegion(
        select="orthogonal-projection",
        safety="s",
        utility="u",
        utility_rank_removed=4,
        safety_rank_removed=7,
        of_directions=8,
    )
    assert ranks_of_delta(declared, layers, grams) == {"q_proj": 1, "k_proj": 1, "v_proj": 1}
    factors = removed(declared, layers, grams)["k_proj"]
    weight = layers["k_proj"].weight
    safety = torch.linalg.eigh(weight @ grams[0]["k_proj"] @ weight.mT)[1][:, -1:]
    utility = torch.linalg.eigh(weight @ grams[1]["k_proj"] @ weight.mT)[1][:, -2:]
    expected = (torch.eye(4) - utility @ utility.mT) @ (safety @ safety.mT) @ weight
    torch.testing.assert_close(factors.left @ factors.right @ weight, expected)


def test_without_of_directions_a_narrow_layer_refuses_the_rank(layers, grams):
    declared = ActSvdRegion(select="act-svd", data="d", rank=4)
    with pytest.raises(UserError, match=r"rank is 4, but v_proj is 2 x 8 and has 2 directions; .* of_directions"):
        removed(declared, layers, grams[:1])


def test_more_ranks_than_the_directions_that_they_are_of_are_refused():
    with pytest.raises(ValidationError, match="9 ranks are removed; expected at most of_directions, 8"):
        OrthogonalProjectionRegion(
            select="orthogonal-projection",
            safety="s",
            utility="u",
            utility_rank_removed=1,
            safety_rank_removed=9,
            of_directions=8,
        )
    with pytest.raises(ValidationError, match="9 ranks are removed"):
        ActSvdRegion(select="act-svd", data="d", rank=9, of_directions=8)
