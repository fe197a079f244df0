"""`harness plan` from the outside: what it prints, what it refuses, and that it loads no weights."""

import json
import textwrap

import pytest
import yaml
from click.testing import CliRunner

import harness.attribution
from harness.cli import main
from harness.planning.rates import Rate, rates
from harness.spec import locations
from harness.spec.variant import ModelVariant
from tests.by_hand import cell_result


def plan(*arguments):
    return CliRunner().invoke(main, ["plan", *map(str, arguments)])


def planned(*arguments):
    result = plan(*arguments, "--json")
    return json.loads(result.stdout), result


def test_a_gated_model_is_planned_without_its_files():
    found, result = planned("figure-2a", "--model", "llama2-7b-chat")
    assert result.exit_code == 0
    assert found["parameters"] == 6_738_415_616 and found["cached"]["config"] == "the package's table"
    assert not found["cached"]["weights"] and "hf download" in found["cached"]["how_to_get_weights"]
    assert "safety-full" in found["cached"]["missing_data"]
    # figure 2a on Llama-2: 25 cells, of which the planted region and the five of the organisms' heads are left out
    assert (found["cells"]["all"], found["cells"]["skipped"]) == (19, 6)
    assert found["device"] == "a100-80g" and set(found["devices"]) == {"a100-80g", "h100", "h200"}
    for device in found["devices"].values():
        assert 0.1 < device["gpu_hours"] < 10 and device["fits"]
        assert device["peak_bytes"] > 50e9
    assert found["devices"]["a100-80g"]["peak_phase"] == "scores by SNIP"
    scores = next(p for p in found["devices"]["a100-80g"]["phases"] if p["name"] == "scores by SNIP")
    assert scores["on_card"]["scores"] == 4 * 6_476_005_376 and not scores["spilled"]


def test_a_method_that_does_not_say_what_it_takes_is_assumed_to_go_forward_once(tmp_path, monkeypatch):
    text = """
    from harness.attribution.base import AttributionMethod
    class Method(AttributionMethod):
        uses_data = True

        def score(self, stream, layers, settings, seed): ...
    """
    (tmp_path / "silent.py").write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.setattr(harness.attribution, "__path__", [*harness.attribution.__path__, str(tmp_path)])
    spec = yaml.safe_load((locations.benchmark_paths()[0].parent / "signed-snip.yaml").read_text(encoding="utf-8"))
    signed, _ = planned("signed-snip", "--model", "tiny-llama2-chat", "--out", tmp_path)
    for cell in spec["cells"]:
        if cell.get("region", {}).get("method"):
            cell["region"]["method"] = "silent"
    file = tmp_path / "silent.yaml"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    found, _ = planned(file, "--model", "tiny-llama2-chat", "--out", tmp_path)
    assert (signed["assumed_work"], found["assumed_work"]) == ([], ["silent"])
    assert signed["work"]["backward_tokens"] > 0 == found["work"]["backward_tokens"]
    assert "one forward pass by silent" in plan(file, "--model", "tiny-llama2-chat", "--out", tmp_path).stdout


def test_full_fine_tuning_of_7b_is_refused_with_the_sizes_and_a_way_out():
    result = plan("table-3", "--model", "llama2-7b-chat", "--gpu", "h100")
    assert result.exit_code == 2
    assert "fine-tuning (full) needs" in result.stderr and "Adam's moments" in result.stderr
    assert "method lora" in result.stderr


def test_a_larger_card_and_tensor_parallelism_are_named_where_they_would_do(tmp_path):
    """Llamas of 30 and 70 billion parameters: the Grams of one leave the card, the weights of the other exceed it."""
    shape = {
        "num_hidden_layers": 60,
        "hidden_size": 6656,
        "intermediate_size": 17920,
        "num_attention_heads": 52,
        "num_key_value_heads": 52,
        "vocab_size": 32000,
    }
    large = {
        "num_hidden_layers": 80,
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
    }
    for name, config in (("m30", shape), ("m70", large)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        variant = yaml.safe_load(locations.find_variant("llama2-7b-chat").read_text(encoding="utf-8"))
        variant |= {"name": name, "source": {"path": "."}}
        ModelVariant.model_validate(variant)
        (folder / "variant.yaml").write_text(yaml.safe_dump(variant), encoding="utf-8")
    found, result = planned("figure-2b", "--model", tmp_path / "m30")
    grams = next(p for p in found["devices"]["a100-80g"]["phases"] if p["name"] == "Grams of ActSVD")
    assert result.exit_code == 0 and grams["spilled"] and "Grams" not in grams["on_card"]
    result = plan("figure-2b", "--model", tmp_path / "m70")
    assert result.exit_code == 2 and "tensor parallelism over 2 cards, with --engine vllm" in result.stderr


def test_an_organism_is_planned_on_the_cpu_and_from_measured_rates():
    result = plan("figure-8", "--model", "tiny-llama2-chat")
    assert result.exit_code == 0 and "rates measured on a CPU" in result.stdout and "weights here" in result.stdout


def test_a_real_model_of_a_billion_parameters_has_hours_on_a_cpu_and_one_of_seven_has_none():
    found, _ = planned("zero-asr", "--model", "llama3.2-1b-instruct")
    assert found["device"] == "a100-80g"
    one = found["devices"]["cpu"]
    tokens = sum(found["work"][each] for each in ("prompt_tokens", "generated_tokens"))
    assert one["seconds"]["generating"] == pytest.approx(2 * found["parameters"] * tokens / 55e9, rel=0.01)
    assert one["gpu_hours"] == 0 and one["hours"] > found["devices"]["h200"]["hours"]
    text = plan("zero-asr", "--model", "llama3.2-1b-instruct").stdout
    assert "CPU, one thread, float32" in text and "from a rate measured on a Xeon" in text
    assert "cpu" not in planned("zero-asr", "--model", "llama2-7b-chat")[0]["devices"]


def test_finished_cells_of_an_interrupted_run_are_left_out(tmp_path):
    from harness.runs import computed_by
    from harness.runs.journal import Journal

    whole, _ = planned("figure-8", "--model", "tiny-llama2-chat", "--out", tmp_path)
    journal = Journal(tmp_path / "tiny-llama2-chat" / "figure-8" / "20260101T000000-00000000")
    code = computed_by.of_cells([])
    journal.write_header({"cells": {"intact": {"key": "k", "plugins": [], "code": code}}})
    journal.write_cell(cell_result("intact"), [])
    rest, _ = planned("figure-8", "--model", "tiny-llama2-chat", "--out", tmp_path)
    assert rest["cells"]["finished"] == ["intact"]
    assert rest["work"]["generated_tokens"] < whole["work"]["generated_tokens"]
    journal.write_header({"cells": {"intact": {"key": "k", "plugins": [], "code": {**code, "source": "other"}}}})
    assert planned("figure-8", "--model", "tiny-llama2-chat", "--out", tmp_path)[0]["cells"]["finished"] == []


def test_unknown_names_are_refused_with_a_suggestion():
    wrong = plan("figure-2a", "--model", "llama2-7b-chat", "--gpu", "h10")
    assert wrong.exit_code == 2 and "did you mean 'h100'?" in wrong.stderr
    wrong = plan("figure-2a", "--model", "llama2-7b-chat", "--engine", "hff")
    assert wrong.exit_code == 2 and "did you mean 'hf'?" in wrong.stderr


def test_no_weights_are_read(monkeypatch, tmp_path):
    def refuse(*_arguments, **_keywords):
        raise AssertionError("weights were read")

    monkeypatch.setattr("harness.models.loading.AutoModelForCausalLM.from_pretrained", refuse)
    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    assert plan("figure-8", "--model", "tiny-llama2-chat", "--out", tmp_path).exit_code == 0


@pytest.mark.parametrize("card", ["a100-80g", "h100", "h200"])
def test_every_rate_names_its_source_and_what_was_measured_on_a_gpu_names_the_gpu(card):
    held = rates()
    parts = [held.cards[card], held.gpu, *held.gpu.engines.values()]
    numbers = [value for part in parts for _, value in part if isinstance(value, Rate)]
    assert len(numbers) >= 15 and all(number.source for number in numbers)
    assert all(number.source.startswith("H200, 7B: ") for number in numbers if number.measured)


def test_a_cell_of_figure_2a_on_7b_takes_about_what_was_measured():
    """8 to 10 minutes at b07d791, of which fingerprints took 9 or 10 times 31 s and take 2 s together now."""
    found, _ = planned("figure-2a", "--model", "llama2-7b-chat", "--gpu", "h200")
    cells = found["cells"]["all"] - found["cells"]["shared"]
    minutes = sum(found["devices"]["h200"]["seconds"].values()) / cells / 60
    assert 3.0 <= minutes <= 6.5


def test_an_engine_without_rates_is_planned_as_the_slowest():
    held = rates().gpu
    assert held.of_engine("unknown") == held.engines["hf"] != held.of_engine("vllm")
    assert held.engines["hf"].step_seconds.value == max(each.step_seconds.value for each in held.engines.values())
