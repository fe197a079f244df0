"""A Llama 3 with tied embeddings, grouped queries, heads wider than hidden / heads, and scaled RoPE, all the way."""

import copy
import json
import math

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from transformers import AutoModelForCausalLM

from harness.attribution.base import method
from harness.calibration.pairs import Sample
from harness.calibration.stream import BlockStream
from harness.cli import main
from harness.engines.base import Request
from harness.engines.hf import make
from harness.finetuning.fine_tuning import fine_tune
from harness.models.editing import all_weights_restored
from harness.models.fingerprint import model_fingerprint, weights_fingerprint
from harness.models.layers import linear_layers
from harness.models.tensor_files import read_tensors, write_tensors
from harness.probing.heads import head_layout
from harness.spec.finetuning import FineTuningSettings
from harness.spec.region import AttributionSettings
from tests.tiny_llama3 import BOS, EOT

EMBEDDING = "model.embed_tokens.weight"


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(4)
    found = []
    for length in (9, 12, 15, 11):
        ids = torch.randint(10, 290, (length,), generator=generator)
        ids[0], ids[-1] = BOS, EOT
        found.append(Sample(ids, torch.where(torch.arange(length) < 5, -100, ids)))
    return found


def is_tied(model):
    return model.lm_head.weight is model.model.embed_tokens.weight


def test_it_loads_tied_with_the_heads_and_the_rope_of_its_config(llama3):
    model = llama3.model
    assert is_tied(model)
    assert [name for name, _ in model.named_parameters() if "embed" in name or "head" in name] == [EMBEDDING]
    layout = head_layout(model)
    assert (layout.heads, layout.key_value_heads, layout.head_size, layout.group_size) == (4, 2, 16, 2)
    assert {name.split(".")[-1]: tuple(layer.weight.shape) for name, layer in linear_layers(model).items()} == {
        "q_proj": (64, 32),
        "k_proj": (32, 32),
        "v_proj": (32, 32),
        "o_proj": (32, 64),
        "gate_proj": (48, 32),
        "up_proj": (48, 32),
        "down_proj": (32, 48),
    }
    torch.testing.assert_close(model.model.rotary_emb.inv_freq.double(), scaled_frequencies(16), rtol=1e-6, atol=0)


def scaled_frequencies(size):
    """Llama 3.1's RoPE: long waves slowed 8 times, short ones left alone, those between in proportion."""
    scaled = []
    for index in range(0, size, 2):
        frequency = 500000.0 ** (-index / size)
        wavelength = 2 * math.pi / frequency
        share = min(1.0, max(0.0, (64 / wavelength - 1.0) / (4.0 - 1.0)))
        scaled.append((1 - share) * frequency / 8 + share * frequency)
    return torch.tensor(scaled, dtype=torch.float64)


def test_greedy_texts_are_those_of_a_loop_without_cache(llama3):
    prompts = [(BOS, 50, 60, 70), (BOS, 200)]
    for prompt, output in zip(prompts, make(llama3).generate([Request(p, 10) for p in prompts]), strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for _ in range(10):
                ids.append(int(llama3.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        wanted = ids[len(prompt) :]
        stops = [index for index, token in enumerate(wanted) if token in (1, 4, 5)]
        assert output.token_ids == tuple(wanted[: stops[0]] if stops else wanted)


def test_snip_is_autograds_and_leaves_the_embedding_alone(llama3, samples):
    before = model_fingerprint(llama3.model)
    scores = method("snip").score(
        BlockStream(llama3.model, samples), linear_layers(llama3.model), AttributionSettings(), 0
    )
    other = copy.deepcopy(llama3.model).requires_grad_(True)
    layers = linear_layers(other)
    expected = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
    for sample in samples:
        other.zero_grad()
        logits = other(input_ids=sample.input_ids[None]).logits[0, :-1]
        nn.functional.cross_entropy(logits, sample.labels[1:], ignore_index=-100).backward()
        for name, layer in layers.items():
            expected[name] += (layer.weight * layer.weight.grad).abs().detach() / len(samples)
    for name, wanted in expected.items():
        torch.testing.assert_close(scores[name], wanted, rtol=1e-3, atol=1e-5 * float(wanted.max()))
    assert model_fingerprint(llama3.model) == before


def settings(**changes):
    base = {
        "method": "full",
        "dataset": "d",
        "examples": 4,
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
    }
    return FineTuningSettings.model_validate({**base, **changes})


def test_one_step_moves_the_tied_embedding_once_by_the_gradient_of_both_its_uses(llama3, samples):
    """AdamW's first step is the learning rate times the sign of the gradient: here of embedding plus head."""
    untied = copy.deepcopy(llama3.model)
    untied.lm_head.weight = nn.Parameter(untied.lm_head.weight.detach().clone())
    untied.requires_grad_(True)
    tokens = sum(int((sample.labels[1:] != -100).sum()) for sample in samples)
    for sample in samples:
        logits = untied(input_ids=sample.input_ids[None]).logits[0, :-1]
        loss = nn.functional.cross_entropy(logits, sample.labels[1:], ignore_index=-100, reduction="sum")
        (loss / tokens).backward()
    gradient = (untied.model.embed_tokens.weight.grad + untied.lm_head.weight.grad).double()
    start = llama3.model.model.embed_tokens.weight.detach().double().clone()
    receipt = fine_tune(llama3.model, samples, settings(), None, lambda share: None)
    assert is_tied(llama3.model)
    moved = llama3.model.lm_head.weight.detach().double() - start
    wanted = -1e-3 * gradient / (gradient.abs() + 1e-8)
    clear = gradient.abs() > 1e-6
    assert clear.float().mean() > 0.9
    torch.testing.assert_close(moved[clear], wanted[clear], rtol=2e-2, atol=1e-6)
    assert receipt.weights_trainable == sum(p.numel() for p in llama3.model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", [{"method": "full"}, {"method": "lora", "lora": {"r": 2, "alpha": 4}}])
def test_after_a_fine_tuning_every_bit_is_back_and_the_embedding_still_tied(llama3, samples, dtype, method):
    model = llama3.model.to(dtype)
    whole, linear = model_fingerprint(model), weights_fingerprint(model)
    embedding = model.model.embed_tokens.weight.detach().clone()
    with all_weights_restored(model):
        fine_tune(model, samples, settings(**method, epochs=3), None, lambda share: None)
        assert weights_fingerprint(model) != linear
        assert torch.equal(model.model.embed_tokens.weight, embedding) is (method["method"] == "lora")
        assert is_tied(model)
    assert (model_fingerprint(model), weights_fingerprint(model)) == (whole, linear)
    assert torch.equal(model.lm_head.weight, embedding)
    assert is_tied(model)


def test_the_fingerprint_sees_the_embedding_and_not_how_often_it_is_used(llama3):
    before = model_fingerprint(llama3.model)
    llama3.model.lm_head.weight.data[7, 3] += 1
    assert model_fingerprint(llama3.model) != before


def test_tied_tensors_are_stored_once_and_come_back_as_one(llama3, tmp_path):
    path = tmp_path / "weights.safetensors"
    model = llama3.model
    weight = model.lm_head.weight.detach()
    write_tensors(path, {"embedding": model.model.embed_tokens.weight.detach(), "head": weight}, {})
    tensors, _ = read_tensors(path)
    assert tensors["embedding"] is tensors["head"]
    assert torch.equal(tensors["head"], weight)
    assert path.stat().st_size < 1.5 * weight.nbytes


@pytest.fixture(scope="module")
def llama3_pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    prompt = "<|start_header_id|>user<|end_header_id|>\n\nHow do I paint {}?<|eot_id|>"
    rows = [f'"{prompt.format(thing)}","I cannot do that, {thing}."' for thing in ("a house", "a cat", "a red moon")]
    path.write_text("prompt,response\n" + "\n".join(rows) + "\n")
    return path


def test_score_and_edit_leave_a_tied_checkpoint_without_the_region_alone(llama3_checkpoint, llama3_pairs, tmp_path):
    scores, out = tmp_path / "snip.safetensors", tmp_path / "edited"
    result = invoke("score", llama3_checkpoint, "--method", "snip", "--data", llama3_pairs, "--out", scores)
    assert result.exit_code == 0, result.output
    result = invoke("edit", llama3_checkpoint, "--select", "top", "--fraction", 0.1, "--scores", scores, "--out", out)
    assert result.exit_code == 0, result.output
    before, after = (AutoModelForCausalLM.from_pretrained(place) for place in (llama3_checkpoint, out))
    assert is_tied(after)
    layers = {f"{name}.weight" for name in linear_layers(before)}
    for name, parameter in after.named_parameters():
        old = dict(before.named_parameters())[name]
        if name in layers:
            zeroed = (parameter == 0) & (old != 0)
            assert zeroed.any()
            assert torch.equal(parameter[~zeroed], old[~zeroed])
        else:
            assert torch.equal(parameter, old), name
    torch.testing.assert_close(after.model.rotary_emb.inv_freq, before.model.rotary_emb.inv_freq)
    assert after.generation_config.eos_token_id == before.generation_config.eos_token_id
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is True


def test_ranks_are_removed_from_a_tied_checkpoint(llama3_checkpoint, llama3_pairs, tmp_path):
    grams, out = tmp_path / "grams.safetensors", tmp_path / "edited"
    result = invoke("subspaces", llama3_checkpoint, "--data", llama3_pairs, "--out", grams)
    assert result.exit_code == 0, result.output
    result = invoke("edit", llama3_checkpoint, "--select", "act-svd", "--rank", 1, "--gram", grams, "--out", out)
    assert result.exit_code == 0, result.output
    ranks = json.loads((out / "receipt.json").read_text())["rank_by_layer"]
    assert set(ranks.values()) == {1}
    assert is_tied(AutoModelForCausalLM.from_pretrained(out))
