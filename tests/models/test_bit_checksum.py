"""A checksum that notices every change of a weight, and the fingerprint that is made of two for each tensor."""

import pytest
import torch

from harness.models.fingerprint import bit_checksum, tensor_checksum, tensors_fingerprint, tensors_sha256


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.float64])
def test_every_single_bit_that_changes_is_seen(dtype):
    """20,000 bits of each kind, 100,000 in all, each turned round and back."""
    drawn = torch.Generator().manual_seed(0)
    whole = torch.randn(64, 24, generator=drawn).mul(50).to(dtype)
    raw = whole.view(torch.uint8).view(-1)
    before = bit_checksum(whole)
    places = torch.randint(len(raw) * 8, (20_000,), generator=drawn).tolist()
    missed = []
    for place in places:
        raw[place // 8] ^= 1 << place % 8
        if bit_checksum(whole) == before:
            missed.append(place)
        raw[place // 8] ^= 1 << place % 8
    assert not missed
    assert bit_checksum(whole) == before


def test_two_weights_that_change_places_are_seen():
    """3,000 pairs of places, each of which gives a checksum of its own."""
    drawn = torch.Generator().manual_seed(1)
    weight = torch.randn(32, 16, generator=drawn)
    pairs = {tuple(sorted(torch.randperm(512, generator=drawn)[:2].tolist())) for _ in range(3000)}
    seen = {bit_checksum(weight)}
    for first, second in pairs:
        changed = weight.clone().view(-1)
        changed[first], changed[second] = weight.view(-1)[second], weight.view(-1)[first]
        seen.add(bit_checksum(changed.view(32, 16)))
    assert len(seen) == len(pairs) + 1


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.zeros(0, 4),
        torch.tensor([True, False, True]),
        torch.ones(4, 8, dtype=torch.bool),
        torch.arange(6).reshape(2, 3),
        torch.ones(2, 3, dtype=torch.float64),
        torch.ones(2, 3, 5),
    ],
    ids=["number", "nothing", "flags", "mask", "integers", "doubles", "three axes"],
)
def test_tensors_of_any_kind_have_a_fingerprint(tensor):
    own = tensors_fingerprint({"a": tensor})
    assert own == tensors_fingerprint({"a": tensor.clone()})
    assert len(own) == 64
    assert own != tensors_fingerprint({"b": tensor})
    if tensor.numel():
        other = tensor.clone().reshape(-1)
        other[-1] = other[-1] == 0
        assert own != tensors_fingerprint({"a": other.reshape(tensor.shape)})


def test_a_fingerprint_tells_names_dtypes_shapes_and_which_tensor_is_which():
    first, second = torch.ones(2, 3), torch.zeros(2, 3)
    found = [
        {"a": first, "b": second},
        {"a": second, "b": first},
        {"a": first, "c": second},
        {"a": first.reshape(3, 2), "b": second},
        {"a": first, "b": second.to(torch.int32)},
        {"a": first},
    ]
    assert len({tensors_fingerprint(each) for each in found}) == len(found)
    assert tensors_fingerprint(found[0]) == tensors_fingerprint(dict(reversed(found[0].items())))


def test_what_lies_on_a_disk_has_a_hash_of_its_bytes():
    first, second = torch.ones(2, 3), torch.zeros(2, 3)
    assert tensors_sha256({"a": first}) != tensors_sha256({"a": second})
    assert tensors_sha256({"a": first}) != tensors_fingerprint({"a": first})


def test_a_shape_of_the_same_rows_is_another_one():
    assert tensors_fingerprint({"a": torch.ones(2, 3)}) != tensors_fingerprint({"a": torch.ones(2, 3, 1)})


def test_a_checksum_has_two_halves_of_their_own(weight):
    own = tensor_checksum(weight)
    assert (len(own), own[:16], own[16:]) == (32, f"{bit_checksum(weight):016x}", f"{bit_checksum(weight, 1):016x}")
    assert own[:16] != own[16:]
