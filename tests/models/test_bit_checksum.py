"""A checksum that notices every change of a weight."""

import pytest
import torch

from harness.models.fingerprint import bit_checksum


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16])
def weight(request):
    return torch.randn(1500, 7, generator=torch.Generator().manual_seed(0)).to(request.param)


def test_a_copy_has_the_same(weight):
    assert bit_checksum(weight) == bit_checksum(weight.clone()) == bit_checksum(weight.t().contiguous().t())


def test_by_hand():
    """One number, 1.0, whose bits are 127 << 23, times the odd numbers of a row and of a column."""
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    assert bit_checksum(zero) == 0
    assert bit_checksum(one) % (127 << 23) == 0 or bit_checksum(one) % 2**23 == 0
    assert bit_checksum(one) % 2**24 == 2**23  # odd times odd times 127


@pytest.mark.parametrize("place", [(0, 0), (1499, 6), (1024, 3)])
def test_the_smallest_change_of_one_weight_changes_it(weight, place):
    changed = weight.clone()
    changed[place] = torch.nextafter(weight[place].float(), torch.tensor(9.0)).to(weight.dtype)
    if weight.dtype != torch.float32:
        changed.view(torch.int16)[place] = weight.view(torch.int16)[place] + 1
    assert bit_checksum(changed) != bit_checksum(weight)


def test_the_sign_of_a_zero_and_nan_change_it(weight):
    zero, negative, nan = weight.clone(), weight.clone(), weight.clone()
    zero[5, 5], negative[5, 5], nan[5, 5] = 0.0, -0.0, float("nan")
    assert len({bit_checksum(each) for each in (weight, zero, negative, nan)}) == 4


def test_another_order_changes_it(weight):
    square = weight[:7]
    orders = [weight.flip(0), weight.flip(1), weight[torch.randperm(1500)]]
    assert bit_checksum(weight) not in {bit_checksum(each) for each in orders}
    assert bit_checksum(square) != bit_checksum(square.t().contiguous())


def test_vectors_have_one():
    assert bit_checksum(torch.ones(5)) != bit_checksum(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.5]))
