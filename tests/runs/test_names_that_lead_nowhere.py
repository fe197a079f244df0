"""Names that lead nowhere are told by `validate`, with file, line, key and what there is, and by `run` alike."""

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.validation import validate_files
from harness.spec.variant import ModelVariant

SPEC = locations.find_benchmark("figure-2a")
GOLDEN = locations.golden_path("tiny-llama2-chat", "figure-2a")
VARIANT = locations.find_variant("tiny-llama2-chat")


def changed(place, original, old, new):
    text = original.read_text(encoding="utf-8")
    assert old in text
    path = place / original.name
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path, text[: text.index(old)].count("\n") + 1


def validated(*paths):
    result = CliRunner().invoke(main, ["validate", *map(str, paths)])
    return result.exit_code, result.output


NAMES = {
    "engine": ("engine: hf", "engine: vlm", "did you mean 'vllm'?"),
    "chat_template": ("chat_template: llama-2", "chat_template: lama-2", "did you mean 'llama-2'?"),
    "source.organism": ("organism: tiny-llama2-chat", "organism: tiny-lama2-chat", "did you mean 'tiny-llama2-chat'?"),
    "datasets.safety-full.source": (
        "path: data/safety_full.csv\n    sha256: 449a7381032fa5b73945afd443d8c9a39f60354c2c8dc85d502528edf57c3b57",
        "source: safety-fulll",
        "did you mean 'safety-full'?",
    ),
    "datasets.safety-full.path": ("path: data/safety_full.csv", "path: data/gone.csv", "no such file"),
    "zero_shot_tasks[4]": ("- tiny_sums", "- tiny_sumss", "did you mean 'tiny_sums'?"),
}


@pytest.mark.parametrize("key", NAMES)
def test_a_name_in_a_variant_that_leads_nowhere_is_told_at_its_line_and_refused_by_a_run(key, tmp_path):
    old, new, near = NAMES[key]
    path, line = changed(tmp_path, VARIANT, old, new)
    code, told = validated(path)
    assert code == 2
    assert f"{path}:{line}: {key}: " in told and near in told
    with pytest.raises(UserError, match=r"organism|template|engine|source of data|no such file|a task"):
        bind(
            load_yaml_model(locations.find_benchmark("figure-2a"), BenchmarkSpec),
            load_yaml_model(path, ModelVariant),
            path,
        )


def test_a_variant_of_a_folder_without_a_checkpoint_is_refused(tmp_path):
    path, line = changed(tmp_path, VARIANT, "organism: tiny-llama2-chat", "path: nowhere")
    code, told = validated(path)
    assert code == 2
    assert f"{path}:{line}: source.path: {tmp_path / 'nowhere'}: no checkpoint is here" in told


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("dataset: safety-full", "dataset: safty-full", "calibration.safety.dataset"),
        ("harmful: probing-harmful", "harmful: probing-harmfull", "region.harmful"),
        ("method: wanda", "method: wnda", "cells[4].region.method"),
        ("select: top", "select: tpo", "cells[2].region.select"),
        ("layout: asr_against_accuracy", "layout: asr_against_acuracy", "layout"),
        ("kind: attack", "kind: atack", "evaluations[0]"),
    ],
)
def test_a_name_in_a_spec_that_leads_nowhere_is_told_at_its_line(old, new, key, tmp_path):
    path, line = changed(tmp_path, SPEC, old, new)
    code, told = validated(path)
    assert code == 2
    assert key in told and "did you mean" in told
    assert f"{path}:{line}: " in told


def test_a_data_set_of_a_variant_that_is_given_with_the_spec_is_known(tmp_path):
    spec, _ = changed(tmp_path, SPEC, "dataset: safety-full", "dataset: my-pairs")
    assert "give the file of one elsewhere as well" in validated(spec)[1]
    variant, _ = changed(tmp_path, VARIANT, "  safety-full:", "  my-pairs:")
    assert validated(spec, variant) == (0, "2 files are valid\n")


def test_what_ships_names_nothing_that_is_not_there():
    assert validated() == (0, f"{validate_files([])[0]} files are valid\n")


def test_cells_for_variants_that_nothing_here_is_called_are_doubted(tmp_path):
    spec, line = changed(tmp_path, SPEC, "  - id: intact\n", "  - id: intact\n    variants: [tiny-llama2-chaat]\n")
    code, told = validated(spec)
    assert code == 0
    assert f"warning: {spec}:{line + 1}: cells[0].variants[0]: no variant here is called 'tiny-llama2-chaat'" in told
    assert "did you mean 'tiny-llama2-chat'?" in told
    spec.write_text(spec.read_text().replace("tiny-llama2-chaat", "tiny-llama2-*"))
    assert validated(spec) == (0, "1 files are valid\n")


def test_golden_values_of_what_nothing_here_is_called_are_doubted(tmp_path):
    (tmp_path / "golden").mkdir()
    golden, line = changed(tmp_path / "golden", GOLDEN, "variant: tiny-llama2-chat", "variant: tiny-llama2-chaat")
    code, told = validated(golden)
    assert code == 0
    assert f"warning: {golden}:{line}: variant: no variant here is called 'tiny-llama2-chaat'" in told
    assert "did you mean 'tiny-llama2-chat'?" in told
    text = golden.read_text()
    golden.write_text(text.replace("benchmark: figure-2a", "benchmark: figure-2"))
    assert ": benchmark: no benchmark here is called 'figure-2'" in validated(golden)[1]
    spec, _ = changed(tmp_path, SPEC, "id: figure-2a", "id: figure-2")
    variant = tmp_path / "variant.yaml"
    variant.write_text(VARIANT.read_text().replace("name: tiny-llama2-chat", "name: tiny-llama2-chaat"))
    assert validated(golden, spec, variant) == (0, "3 files are valid\n")
