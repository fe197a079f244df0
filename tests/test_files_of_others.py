"""Whatever lies in the place of a file that others may have written, it ends in words that name the file."""

import os
from functools import partial

import pytest

from harness.data.cache import LOCK, VARIABLE, read_lock
from harness.errors import UserError
from harness.fetching.recipes import Wrapping, joined_wikitext, wrapped_alpaca
from harness.finetuning.checkpoints import Checkpoint
from harness.finetuning.training import ADAPTER_CONFIG
from harness.models.tensor_files import read_tensors, tensor_metadata
from harness.planning.inventory import missing_weights, model_sizes
from harness.reports.html import _fault_report
from harness.spec import locations
from harness.spec.faults import FAULTS
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelSource, ModelVariant

CONTENTS = {
    "no UTF-8": b"\xff\xfe\x00",
    "no JSON": b"{",
    "NaN": b'{"a": NaN}',
    "another mapping": b'{"weight_map": {"a": 5}, "lora_alpha": "x", "files": 1, "hidden_size": []}',
    "a number": b"5",
    "deep": b"[" * 100_000,
    "a key twice": b'{"a": 1, "a": 2}',
}


def of_a_model(reader, folder):
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    return reader(shipped.model_copy(update={"source": ModelSource(path=".")}), folder / "variant.yaml")


READERS = {
    LOCK: lambda folder: read_lock(),
    "config.json": partial(of_a_model, model_sizes),
    "model.safetensors.index.json": partial(of_a_model, missing_weights),
    ADAPTER_CONFIG: lambda folder: Checkpoint(1, folder)._scale,
    "alpaca.json": lambda folder: wrapped_alpaca(folder / "alpaca.json", Wrapping("llama-2", None)),
    "test.parquet": lambda folder: joined_wikitext(folder / "test.parquet", Wrapping("llama-2", None)),
    FAULTS: _fault_report,
    "masks.safetensors": lambda folder: read_tensors(folder / "masks.safetensors"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_another_content_is_told_with_the_file(name, content, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / name).write_bytes(CONTENTS[content])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        READERS[name](tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", [LOCK, ADAPTER_CONFIG, "alpaca.json", FAULTS, "masks.safetensors"])
def test_a_pipe_in_a_files_place_is_told_and_not_waited_for(name, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        READERS[name](tmp_path)
    assert tensor_metadata(tmp_path / name) == {}


def test_a_folder_in_a_files_place_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for name in (LOCK, ADAPTER_CONFIG, FAULTS):
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match="is a folder"):
            READERS[name](tmp_path)
