"""Checkpoints: what PEFT and safetensors make of them, when they are saved, and what an interruption leaves."""

import copy
import hashlib
import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from harness.calibration.pairs import read_pairs, tokenise
from harness.finetuning.checkpoints import Checkpoint
from harness.finetuning.fine_tuning import fine_tune
from harness.finetuning.lora import LoraTraining
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningOverrides, FineTuningSettings

FULL = {"method": "full"}
LORA = {"method": "lora", "lora": {"r": 4, "alpha": 8}}
Q0 = "model.layers.0.self_attn.q_proj"


def settings(**changes):
    """Six pairs in batches of two, twice: 6 steps."""
    base = {"dataset": "d", "examples": 6, "epochs": 2, "batch_size": 2, "learning_rate": 1e-2, "checkpoint_every": 2}
    return FineTuningSettings.model_validate({**base, **changes})


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(read_pairs(pairs_csv), loaded.tokenizer, 128)


@pytest.fixture
def intact(loaded):
    return copy.deepcopy(loaded.model)


def tuned(loaded, samples, folder, progress=lambda share: None, masks=None, **changes):
    return fine_tune(loaded.model, samples, settings(**changes), masks, progress, folder)


def weights(model):
    return {name: layer.weight.detach().clone() for name, layer in linear_layers(model).items()}


def test_plain_peft_loads_an_adapter_and_merges_the_weights_that_training_ended_with(loaded, samples, intact, tmp_path):
    tuned(loaded, samples, tmp_path, **LORA)
    before = weights(intact)
    merged = PeftModel.from_pretrained(copy.deepcopy(intact), tmp_path / "step-000006").merge_and_unload()
    for name, weight in weights(loaded.model).items():
        assert torch.equal(weights(merged)[name], weight)
        update = Checkpoint(6, tmp_path / "step-000006").update(name, before[name])
        assert torch.equal(before[name] + update, weight) and update.any()
    assert json.loads((tmp_path / "step-000006" / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_full_training_saves_every_weight_and_its_update_leads_from_the_intact_ones_there(
    loaded, samples, intact, tmp_path
):
    tuned(loaded, samples, tmp_path, **FULL)
    saved = load_file(tmp_path / "step-000006" / "weights.safetensors")
    assert saved.keys() == {name for name, _ in intact.named_parameters()}
    checkpoint = Checkpoint(6, tmp_path / "step-000006")
    for name, weight in weights(loaded.model).items():
        assert torch.equal(saved[f"{name}.weight"], weight)
        assert torch.equal(checkpoint.update(name, weights(intact)[name]), weight - weights(intact)[name])


def test_layers_without_adapters_and_frozen_entries_have_no_update(loaded, samples, intact, tmp_path):
    mask = torch.zeros_like(linear_layers(loaded.model)[Q0].weight, dtype=torch.bool)
    mask[::2] = True
    adapters = {"r": 4, "alpha": 8, "layer_types": ["q_proj"]}
    tuned(loaded, samples, tmp_path, masks={Q0: mask}, method="lora", lora=adapters)
    checkpoint = Checkpoint(6, tmp_path / "step-000006")
    moved = {name for name, weight in weights(intact).items() if checkpoint.update(name, weight).any()}
    assert moved == {Q0, Q0.replace("layers.0", "layers.1")}
    assert torch.equal(checkpoint.update(Q0, weights(intact)[Q0]) != 0, ~mask)
    part = {"method": "full", "parameters": "linear_layers"}
    tuned(loaded, samples, tmp_path / "full", **part)
    assert "model.norm.weight" not in load_file(tmp_path / "full" / "step-000006" / "weights.safetensors")


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({}, [2, 4, 6]), ({"checkpoint_every": 4}, [4]), ({"checkpoint_every": 7}, []), ({"examples": 0}, [0])],
)
def test_a_checkpoint_is_saved_at_each_multiple_and_the_receipt_has_its_hashes(
    loaded, samples, tmp_path, changes, steps
):
    chosen = settings(**LORA, **changes)
    assert chosen.checkpoint_steps == steps
    given = samples if chosen.examples else []
    receipt = fine_tune(loaded.model, given, chosen, None, lambda share: None, tmp_path)
    assert [saved.step for saved in receipt.checkpoints] == steps
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{step:06d}" for step in steps]
    for saved in receipt.checkpoints:
        found = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (tmp_path / f"step-{saved.step:06d}").iterdir()
        }
        assert found == saved.files_sha256 and len(found) == 2


def test_the_start_is_no_change_at_all(loaded, intact, tmp_path):
    fine_tune(loaded.model, [], settings(**LORA, examples=0), None, lambda share: None, tmp_path)
    checkpoint = Checkpoint(0, tmp_path / "step-000000")
    assert not any(checkpoint.update(name, weight).any() for name, weight in weights(intact).items())


def test_an_interruption_leaves_whole_checkpoints_only_and_the_next_run_none_of_them(
    loaded, samples, tmp_path, monkeypatch
):
    """The machine dies while the second checkpoint is written: its file is there, its configuration is not."""
    whole, written = LoraTraining.trained_files, []

    def torn(training):
        files = whole(training)
        written.append(files)
        if len(written) == 2:
            files.json_files["adapter_config.json"] = {"cut": object()}  # no JSON can hold it
        return files

    monkeypatch.setattr(LoraTraining, "trained_files", torn)
    with pytest.raises(TypeError):
        tuned(loaded, samples, tmp_path, **LORA)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000002"]
    (tmp_path / "part-of-a-killed-process").mkdir()
    monkeypatch.undo()
    tuned(loaded, samples, tmp_path, **LORA, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000004", "step-000006"]


def test_checkpoints_change_nothing_in_the_training(loaded, samples, intact, tmp_path):
    with_them = tuned(loaded, samples, tmp_path, **LORA).fingerprint_after
    loaded.model.load_state_dict(intact.state_dict())
    assert tuned(loaded, samples, None, **LORA, checkpoint_every=None).fingerprint_after == with_them


def test_checkpoints_need_a_folder(loaded, samples):
    with pytest.raises(ValueError, match="no folder"):
        tuned(loaded, samples, None, **LORA)


def test_a_variant_scales_the_distance_of_checkpoints_and_asks_for_none_where_a_spec_does_not():
    mine = FineTuningOverrides(checkpoint_every=5)
    assert mine.applied_to(settings(**LORA)).checkpoint_every == 5
    assert mine.applied_to(settings(**LORA, checkpoint_every=None)).checkpoint_every is None
