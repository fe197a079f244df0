"""Sizes against the tensors of real models: parameters counted, activations seen by torch's own hooks."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.calibration.pairs import IGNORED, Sample
from harness.calibration.stream import BlockStream
from harness.formulas.memory import LlamaShape, activation_bytes, gram_bytes, key_value_bytes, score_bytes
from harness.models.layers import linear_layers
from harness.models.placement import leaves_room, place_of_sums, shape_of

LLAMA2_7B = LlamaShape(32, 4096, 11008, 4096, 4096, 32000)


def test_the_parameters_of_llama_2_7b_are_those_of_its_model_card():
    assert LLAMA2_7B.parameters == 6_738_415_616
    assert LLAMA2_7B.linear_weights == 6_476_005_376
    assert score_bytes(LLAMA2_7B) == 4 * 6_476_005_376
    assert gram_bytes(LLAMA2_7B) == 32 * 8 * (3 * 4096**2 + 11008**2)
    assert key_value_bytes(LLAMA2_7B, 1, 2) == 524_288  # half a mebibyte a token


def model_of(dtype, **changes):
    sizes = {
        "vocab_size": 64,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "max_position_embeddings": 256,
    }
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).eval().requires_grad_(False).to(dtype)


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 2}, {"tie_word_embeddings": True}])
def test_sizes_are_those_of_a_model_in_memory(changes):
    model = model_of(torch.float32, **changes)
    shape = shape_of(model)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert shape.linear_weights == sum(layer.weight.numel() for layer in linear_layers(model).values())
    assert shape.blocks * shape.layer_shapes == [tuple(each.weight.shape) for each in linear_layers(model).values()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 2}, {"intermediate_size": 1024}])
def test_activations_are_those_that_autograd_keeps(dtype, changes):
    model, tokens = model_of(dtype, **changes), 64
    labels = torch.full((tokens,), IGNORED)
    stream = BlockStream(model, [Sample(torch.arange(tokens) % 60, labels) for _ in range(4)])
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept, alive = {}, []

    def see(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    for layer in linear_layers(model).values():
        layer.register_forward_pre_hook(lambda _layer, inputs: (see(inputs[0]),))
    ((_, hidden),) = stream.each()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor):
        stream.run(hidden.detach().requires_grad_(), 4)
    wanted = activation_bytes(shape_of(model), 4 * tokens, dtype.itemsize)
    assert sum(kept.values()) == pytest.approx(wanted, rel=0.05)


def test_sums_leave_the_device_where_a_pass_would_not_fit_beside_them():
    assert leaves_room(100.0, 60, 30) and not leaves_room(100.0, 60, 31)
    assert place_of_sums(torch.device("cpu"), 10**15, 10**15).type == "cpu"
