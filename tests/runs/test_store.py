"""Stored tensors: what is not as it was written is computed again."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from harness.runs.store import TensorStore

KEY = {"a": 1}
LAYERS = ("first", "middle", "last")


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(8, 6, generator=generator) for name in LAYERS}


def one_bit(stored):
    stored["middle"].view(torch.int32)[3, 2] ^= 1


def rows_turned_round(stored):
    stored["first"] = stored["first"].flip(0)


def two_layers_exchanged(stored):
    stored["middle"], stored["last"] = stored["last"], stored["middle"]


def another_type(stored):
    stored["last"] = stored["last"].double()


def another_shape(stored):
    stored["first"] = stored["first"].reshape(6, 8)


def a_layer_left_out(stored):
    del stored["middle"]


def no_hash(stored, told):
    del told["tensors_sha256"]


@pytest.mark.parametrize(
    "change", [one_bit, rows_turned_round, two_layers_exchanged, another_type, another_shape, a_layer_left_out, no_hash]
)
def test_a_whole_file_with_other_tensors_is_computed_again(tmp_path, change):
    store, computed = TensorStore(tmp_path), []

    def compute():
        computed.append(True)
        return tensors()

    store.get(KEY, compute)
    store.get(KEY, compute)
    assert len(computed) == 1
    (path,) = tmp_path.glob("*.safetensors")
    with safe_open(path, framework="pt") as file:
        stored, told = {name: file.get_tensor(name) for name in LAYERS}, file.metadata()
    change(stored, told) if change is no_hash else change(stored)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, path, told)
    assert all(torch.equal(store.get(KEY, compute)[name], tensor) for name, tensor in tensors().items())
    assert len(computed) == 2
    store.get(KEY, compute)
    assert len(computed) == 2
