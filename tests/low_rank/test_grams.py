import pytest
import torch

from harness.calibration.stream import BlockStream
from harness.errors import UserError
from harness.formulas.subspace import leading_directions, least_directions
from harness.low_rank.grams import gram_matrices
from harness.models.layers import block_layers, layer_type, linear_layers
from harness.models.tensor_files import read_tensors, write_tensors
from harness.spec.region import AttributionSettings
from tests.low_rank.conftest import kept_inputs

SETTINGS = AttributionSettings()


@pytest.mark.parametrize(("positions", "shift"), [("response", 0), ("predicting", 1)])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_grams_equal_those_of_kept_activations(loaded, samples, positions, shift, batch_tokens):
    stream = BlockStream(loaded.model, samples, batch_tokens)
    settings = AttributionSettings(activation_positions=positions)
    grams = gram_matrices(stream, linear_layers(loaded.model), settings)
    for name, inputs in kept_inputs(loaded.model, samples, shift).items():
        wanted = inputs @ inputs.mT
        torch.testing.assert_close(grams[name], wanted, rtol=0, atol=1e-5 * float(wanted.max()))


def test_directions_from_the_stream_are_those_of_a_float64_svd_of_the_outputs(loaded, samples):
    grams = gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)
    kept = kept_inputs(loaded.model, samples)
    for name, layer in linear_layers(loaded.model).items():
        left, values, _ = torch.linalg.svd(layer.weight.double() @ kept[name], full_matrices=False)
        directions, found = leading_directions(layer.weight, grams[name], 3)
        torch.testing.assert_close(found, values[:3], rtol=1e-5, atol=0)
        gap = float(values[2] - values[3]) / float(values[0])
        difference = directions @ directions.mT - left[:, :3] @ left[:, :3].mT
        assert torch.linalg.matrix_norm(difference, 2) <= 1e-5 / gap, name


def test_directions_behind_the_rank_of_the_inputs_do_not_depend_on_the_order_of_the_sums(loaded, samples):
    """The samples have fewer distinct tokens than block 0's inputs have dimensions."""
    name = "model.layers.0.self_attn.q_proj"
    layer = linear_layers(loaded.model)[name]
    kept = kept_inputs(loaded.model, samples)[name]
    lost = len(kept) - int(torch.linalg.matrix_rank(kept))
    assert lost >= 4
    projectors = []
    for batch_tokens in (1, 4096):
        stream = BlockStream(loaded.model, samples, batch_tokens)
        directions, _ = least_directions(layer.weight, gram_matrices(stream, {name: layer}, SETTINGS)[name], lost // 2)
        projectors.append(directions @ directions.mT)
    assert torch.linalg.matrix_norm(projectors[0] - projectors[1], 2) < 1e-4


def test_layers_that_share_an_input_share_one_gram(loaded, samples):
    grams = gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)
    for index in range(2):
        found = {layer_type(name): grams[name] for name in block_layers(loaded.model, index)}
        assert found["q_proj"] is found["k_proj"] is found["v_proj"]
        assert found["gate_proj"] is found["up_proj"]
    assert len({id(gram) for gram in grams.values()}) == 8
    assert list(grams) == list(linear_layers(loaded.model))


def test_two_runs_give_the_same_bits(loaded, samples):
    first, again = (
        gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS) for _ in range(2)
    )
    for name, layer in linear_layers(loaded.model).items():
        assert torch.equal(first[name], again[name])
        bases = [leading_directions(layer.weight, grams[name], 5)[0] for grams in (first, again)]
        assert torch.equal(*bases)


def test_a_stream_that_stands_at_a_later_block_gives_that_blocks_grams(loaded, samples):
    whole = gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)
    stream = BlockStream(loaded.model, samples)
    stream.advance()
    later = gram_matrices(stream, block_layers(loaded.model, 1), SETTINGS)
    assert all(torch.equal(gram, whole[name]) for name, gram in later.items())


def test_measuring_leaves_no_hook(loaded, samples):
    gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)
    assert not any(layer._forward_pre_hooks for layer in linear_layers(loaded.model).values())


def test_an_overflow_is_an_error(loaded, samples):
    linear_layers(loaded.model)["model.layers.0.mlp.up_proj"].weight.data.fill_(float("inf"))
    with pytest.raises(UserError, match=r"layers\.0\.mlp\.down_proj overflow"):
        gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)


def test_a_shared_gram_is_stored_once_and_comes_back_shared(loaded, samples, tmp_path):
    grams = gram_matrices(BlockStream(loaded.model, samples), linear_layers(loaded.model), SETTINGS)
    path = tmp_path / "grams.safetensors"
    write_tensors(path, grams, {"who": "test"})
    found, metadata = read_tensors(path)
    assert metadata["who"] == "test"
    assert {name: torch.equal(found[name], gram) for name, gram in grams.items()} == dict.fromkeys(grams, True)
    prefix = "model.layers.1.self_attn."
    assert found[prefix + "q_proj"] is found[prefix + "v_proj"]
    assert path.stat().st_size < sum(gram.nbytes for gram in grams.values())
