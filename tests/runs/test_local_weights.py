"""A local directory takes the place of the hub: a checkpoint of another shape, with the organism's tokenizer."""

import json

import pytest
import torch
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from harness.cli import main
from harness.organisms.catalogue import organism_directory
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

ORGANISM = "tiny-llama2-chat"
SPEC = """
id: local
title: Local
source: {work: test}
calibration:
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: top, title: Top, region: {select: top, method: wanda, data: utility, fraction: 0.1}}
evaluations:
  - {kind: zero_shot, limit: 5}
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


@pytest.fixture
def hub_variant(tmp_path):
    """The YAML of a variant whose weights are on the hub, and whose data are the organism's."""
    shipped = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).model_dump(mode="json", exclude_none=True)
    del shipped["planted_region"]
    shipped |= {"name": "mine", "source": {"repository": "nobody/nothing", "revision": "0" * 40}}
    for file in shipped["datasets"].values():
        file["path"] = str(organism_directory(ORGANISM) / file["path"])
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(shipped))
    return path


@pytest.fixture
def weights(tmp_path):
    """Three blocks, hidden size 48, grouped queries; the organism has four, 128 and none."""
    folder = tmp_path / "weights"
    tokenizer = AutoTokenizer.from_pretrained(organism_directory(ORGANISM))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(tmp_path, model, *arguments):
    spec = tmp_path / "local.yaml"
    spec.write_text(SPEC)
    return CliRunner().invoke(
        main, ["run", str(spec), "--model", str(model), "--out", str(tmp_path / "runs"), *map(str, arguments)]
    )


def test_a_folder_is_measured_in_place_of_the_hub(tmp_path, hub_variant, weights):
    result = run(tmp_path, hub_variant, "--weights", weights, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["variant"]["source"] == {"path": "weights"}
    assert record["provenance"]["command"] == "harness run local.yaml --model mine.yaml --weights weights"
    (receipt,) = (cell["receipt"] for cell in record["cells"] if cell["receipt"])
    linear = 3 * (48 * 48 * 2 + 48 * 24 * 2 + 3 * 48 * 80)
    assert receipt["weights_total"] == linear
    assert str(tmp_path) not in result.stdout


def test_without_weights_and_with_a_folder_that_holds_none_the_run_ends_as_bad_input(tmp_path, hub_variant):
    assert run(tmp_path, hub_variant).exit_code == 2
    result = run(tmp_path, hub_variant, "--weights", tmp_path / "nowhere")
    assert (result.exit_code, "no checkpoint is here" in result.output) == (2, True)


def test_one_checkpoint_is_of_one_model():
    result = CliRunner().invoke(main, ["reproduce", "--weights", "somewhere"])
    assert (result.exit_code, "expected exactly one --model" in result.output) == (2, True)
