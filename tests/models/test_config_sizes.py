"""A config.json whose sizes no model has is told by plan, doctor and run before anything of that size is made."""

import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.models.config_sizes import unfit_sizes
from harness.organisms.catalogue import organism_directory
from harness.spec import locations

SIZES = {"num_hidden_layers": 12, "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000}


@pytest.mark.parametrize("size", [10**9, 0, -1, 2.5, True, "4096", [1]])
def test_a_size_that_is_none_is_told_with_its_key(size):
    assert unfit_sizes(SIZES) == []
    [told] = unfit_sizes(SIZES | {"num_hidden_layers": size})
    assert told.startswith(f"num_hidden_layers is {size!r}; expected an integer from 1 to ")


def test_sizes_that_are_large_together_are_told():
    large = {"num_hidden_layers": 1000, "hidden_size": 1 << 18, "intermediate_size": 1 << 20, "vocab_size": 10}
    assert "parameters; expected" in unfit_sizes(SIZES | large)[0]


def test_parts_of_a_config_have_sizes_too():
    assert unfit_sizes(SIZES | {"text_config": {"inner": {"num_labels": -1}}}) == [
        "text_config.inner.num_labels is -1; expected an integer from 1 to 4194304"
    ]


def test_a_config_of_nothing_but_keys_is_told():
    assert unfit_sizes({"id2label": {str(label): "x" for label in range(21_841)}}) == []
    assert unfit_sizes({str(key): 1 for key in range(65_537)}) == ["it has 65537 keys; expected 65536 at most"]


@pytest.fixture
def absurd(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(organism_directory("tiny-llama2-chat"), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}), encoding="utf-8")
    variant = locations.find_variant("tiny-llama2-chat").read_text(encoding="utf-8")
    (folder / "variant.yaml").write_text(variant.replace("organism: tiny-llama2-chat", "path: ."), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["plan", "figure-8", "--model"], 2),
        (["run", "figure-8", "--out", "{out}", "--model"], 2),
        (["doctor", "--model"], 1),
    ],
)
def test_every_command_that_would_make_such_a_model_refuses_it(command, code, absurd, tmp_path):
    arguments = [part.format(out=tmp_path / "runs") for part in command]
    result = CliRunner().invoke(main, [*arguments, str(absurd)])
    assert result.exit_code == code, result.output
    assert "config.json" in result.output and "num_hidden_layers is 1000000000; expected" in result.output
