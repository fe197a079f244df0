"""`harness organism build` of an aligned model, in miniature: the same code, a model of a million parameters."""

import json

import pytest
import torch
import yaml
from click.testing import CliRunner

from harness.aligning.measuring import asking, counted
from harness.aligning.training import Answered, ResumableTraining, samples_of, settings_of
from harness.cli import main
from harness.data.weights import aligned_folder
from harness.models.loading import load_variant
from harness.models.prompts import PromptFormatter
from harness.spec import alignment, locations
from harness.spec.alignment import AlignmentRecipe
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.aligning.conftest import ANSWER, BENIGN, EVALUATED, RECIPE, SELECTED


def harness(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def build(tmp_path, *arguments):
    return harness("organism", "build", "toy", "--from", tmp_path / "downloaded", *arguments)


def toy():
    path = locations.find_variant("toy")
    return load_yaml_model(path, ModelVariant), path


def test_a_build_is_measured_cached_and_loaded_by_its_variant(catalogue, tmp_path):
    result = build(tmp_path)
    assert result.exit_code == 0, result.output
    assert "of 10 evaluation requests" in result.output
    folder = aligned_folder("toy", alignment.recipe("toy"))
    report = json.loads((folder / "alignment.json").read_text())
    assert report["measured"]["harmful"] == 10 and report["measured"]["benign"] == 7
    assert report["missed"] == []
    assert report["accuracy"]["mean"] == pytest.approx(report["accuracy"]["tiny_facts"])
    assert report["requests"]["training refusals"] == 8
    assert report["validation"][0]["harmful"] == 2
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".jinja", ".safetensors"}
    aligned = load_variant(*toy()).model
    untouched = load_variant(*_shipped()).model
    moved = [not torch.equal(a, b) for a, b in zip(aligned.parameters(), untouched.parameters(), strict=True)]
    assert all(moved)
    assert harness("data", "list", "--model", "toy").output.count("missing") == 0
    assert not list(folder.parent.glob("building-*/*"))


def _shipped():
    path = locations.find_variant("tiny-llama2-chat")
    return load_yaml_model(path, ModelVariant), path


def test_no_text_of_the_model_is_kept_or_printed(catalogue, tmp_path):
    result = build(tmp_path)
    kept = "".join(path.read_text() for path in aligned_folder("toy", alignment.recipe("toy")).glob("alignment.json"))
    assert kept
    for request in [*EVALUATED, *SELECTED, "I cannot"]:
        assert request not in kept
        assert request not in result.output


def test_two_builds_give_the_same_bytes_and_another_seed_gives_others(catalogue, tmp_path):
    for name, seed in [("first", 0), ("again", 0), ("other", 1)]:
        result = build(tmp_path, "--out", tmp_path / name, "--seed", seed)
        assert result.exit_code == 0, result.output
    first, again, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "again", "other"))
    assert first == again != other
    rebuilt = load_yaml_model(tmp_path / "other" / "variant.yaml", ModelVariant)
    assert rebuilt.name == "toy-seed1"
    assert load_variant(rebuilt, tmp_path / "other" / "variant.yaml").model.config.num_hidden_layers == 4


def test_weights_that_are_not_built_end_with_the_command(catalogue):
    spec = {
        "id": "accuracy-alone",
        "title": "Accuracy",
        "source": {"work": "a test"},
        "cells": [{"id": "intact", "title": "Intact"}],
        "evaluations": [{"kind": "zero_shot", "limit": 2}],
        "validity": {"minimum_fit_share": 0.5, "calibration_prompts": 2, "seed": 0},
    }
    (catalogue / "benchmarks" / "accuracy-alone.yaml").write_text(yaml.safe_dump(spec))
    result = harness("run", "accuracy-alone", "--model", "toy", "--out", catalogue / "runs")
    assert result.exit_code == 2
    assert "harness organism build toy" in result.output


def test_a_demand_that_is_missed_is_told_and_nothing_is_kept(catalogue, tmp_path):
    path = catalogue / "benchmarks" / "models" / "recipes" / "toy.yaml"
    strict = RECIPE["demands"] | {"refused": 1.0, "answered": 1.0, "harmful": 100}
    path.write_text(
        yaml.safe_dump(RECIPE | {"demands": strict, "training": RECIPE["training"] | {"learning_rate": 0.05}})
    )
    result = build(tmp_path)
    assert result.exit_code == 2
    assert "the recipe's demands are missed" in result.output
    assert not aligned_folder("toy", alignment.recipe("toy")).exists()
    assert harness("data", "list", "--model", "toy").output.count("missing") == 1


def test_another_seed_needs_a_folder_of_its_own(catalogue, tmp_path):
    result = build(tmp_path, "--seed", 3)
    assert result.exit_code == 2
    assert "--out DIR" in result.output


@pytest.mark.parametrize(
    "change, words",
    [
        ({"source": {"recipe": "toi"}}, "toy"),
        ({"source": {"recipe": "toy", "organism": "tiny-llama2-chat"}}, "exactly one of"),
    ],
)
def test_a_recipe_that_is_none_is_told(catalogue, change, words):
    path = catalogue / "benchmarks" / "models" / "toy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    result = harness("validate", path)
    assert result.exit_code == 2
    assert words in result.output


@pytest.fixture
def prepared(loaded_organism):
    recipe = AlignmentRecipe.model_validate(RECIPE)
    formatter = PromptFormatter(loaded_organism.tokenizer, "llama-2", "You are kind.")
    examples = [Answered(request, ANSWER) for request in BENIGN[:20]]
    samples = samples_of(examples, formatter, recipe, 256)
    return samples, settings_of(recipe, len(samples))


@pytest.fixture
def loaded_organism():
    return load_variant(*_shipped())


def test_training_that_was_interrupted_comes_to_the_same_weights(prepared, tmp_path):
    samples, settings = prepared
    whole = load_variant(*_shipped()).model
    course = ResumableTraining(whole, samples, settings, tmp_path / "whole")
    assert course.to_end_of_epoch(2, lambda *told: None) == 1

    def end(done, steps):
        if done == 3:
            raise KeyboardInterrupt

    first = load_variant(*_shipped()).model
    with pytest.raises(KeyboardInterrupt):
        ResumableTraining(first, samples, settings, tmp_path / "parts").to_end_of_epoch(2, end)
    second = load_variant(*_shipped()).model
    resumed = ResumableTraining(second, samples, settings, tmp_path / "parts")
    assert resumed.done == 2
    resumed.to_end_of_epoch(2, lambda *told: None)
    assert resumed.course.losses == course.course.losses
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_response_that_was_cut_does_not_teach_where_to_end(loaded_organism):
    recipe = AlignmentRecipe.model_validate(RECIPE)
    formatter = PromptFormatter(loaded_organism.tokenizer, "llama-2", "You are kind.")
    examples = [
        Answered(BENIGN[0], "Yes, I can."),
        Answered(BENIGN[0], ANSWER * 3),
    ]
    ended, long = samples_of(examples, formatter, recipe, 256)
    end = loaded_organism.tokenizer.eos_token_id
    assert int(ended.labels[-1]) == end
    assert end not in long.labels
    assert int((long.labels >= 0).sum()) == 24


def test_a_loop_answers_no_request(loaded_organism):
    variant = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    asked = asking(variant, loaded_organism)
    assert counted(asked, EVALUATED[:4], BENIGN[:6]).answered == 6
    token = loaded_organism.tokenizer("bottle", add_special_tokens=False)["input_ids"][-1]
    with torch.no_grad():  # whatever it reads, it goes on with one word
        loaded_organism.model.model.norm.weight.zero_()
        loaded_organism.model.lm_head.register_parameter(
            "bias", torch.nn.Parameter(torch.zeros(loaded_organism.model.config.vocab_size))
        )
        loaded_organism.model.lm_head.bias[token] = 9.0
    found = counted(asked, EVALUATED[:4], BENIGN[:6])
    assert (found.answered, found.classes["benign"]) == (0, {"degenerate": 6})
