"""What in a model's folder could act is listed, and what transformers would follow is refused before it reads it."""

import json
import os
import shutil
import time

import pytest

from harness.errors import UserError
from harness.models.folder import active_parts
from harness.models.loading import load_checkpoint, load_tokenizer
from harness.organisms.catalogue import organism_directory
from harness.spec.variant import ModelSource, ModelVariant


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(organism_directory("tiny-llama2-chat"), tmp_path / "model")


def with_json(folder, name, **more):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | more if path.exists() else more))


def test_what_could_act_is_listed_with_how_far_it_may(folder, tmp_path):
    with_json(folder, "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"}, attn_implementation="some/kernel")
    with_json(folder, "tokenizer_config.json", chat_template="{{ x }}")
    with_json(folder, "adapter_config.json", base_model_name_or_path="some/model")
    for name in ("evil.py", "pytorch_model.bin", "run.sh", "more/x.pkl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "evil-1.dist-info").mkdir()
    (tmp_path / "outside").write_text("x")
    (folder / "linked").symlink_to(tmp_path / "outside")
    listed = {(each.file, each.use): each.what for each in active_parts(folder)}
    assert set(listed) == {
        ("adapter_config.json", "refused"),
        ("chat_template.jinja", "bounded"),
        ("config.json", "refused"),
        ("config.json", "unused"),
        ("evil-1.dist-info", "unused"),
        ("evil.py", "unused"),
        ("linked", "bounded"),
        ("more/x.pkl", "unused"),
        ("pytorch_model.bin", "unused"),
        ("run.sh", "unused"),
        ("tokenizer_config.json", "bounded"),
    }


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("adapter_config.json", {"base_model_name_or_path": "some/model"}, "it is an adapter.*merge"),
        ("config.json", {"attn_implementation": "some/kernel"}, "attn_implementation is 'some/kernel'"),
        ("config.json", {"_attn_implementation": "kernels-community/flash"}, "expected eager or sdpa"),
        ("config.json", {"quantization_config": {"quant_method": "gptq"}}, "packed form"),
        ("config.json", {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}, "cannot be loaded"),
    ],
)
def test_what_would_bring_in_more_than_weights_is_refused(folder, name, more, said):
    with_json(folder, name, **more)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match=said):
        load_checkpoint(str(folder))


def test_code_beside_weights_that_transformers_knows_is_not_run(folder):
    auto_map = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    for name in ("config.json", "tokenizer_config.json"):
        with_json(folder, name, auto_map=auto_map)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    assert type(load_checkpoint(str(folder)).model).__module__.startswith("transformers.")


def test_weights_that_are_a_pickle_are_not_loaded(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_checkpoint(str(folder))


def test_a_file_that_is_no_json_is_named(folder):
    (folder / "tokenizer_config.json").write_text("[" * 100_000)
    variant = ModelVariant.model_construct(source=ModelSource(path=str(folder)))
    with pytest.raises(UserError, match=r"tokenizer_config\.json: cannot be read as JSON"):
        load_tokenizer(variant, folder / "variant.yaml")


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices in a folder")
@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "chat_template.jinja", "model.safetensors"])
def test_what_stands_in_a_files_place_is_refused_before_anything_opens_it(folder, name):
    path = folder / name
    for made, said in (
        (lambda: os.mkfifo(path), "is a named pipe; expected a file"),
        (lambda: path.symlink_to("/dev/zero"), "is a device; expected a file"),
        (lambda: path.symlink_to(name), "is a link that leads nowhere; expected a file"),
    ):
        path.unlink()
        made()
        assert any(said in part.what and part.use == "refused" for part in active_parts(folder) if part.file == name)
        with pytest.raises(UserError, match=f"{name}: {said}"):
            load_checkpoint(str(folder))


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a": NaN}', b"\xff", b"[]", b"5", b'{"a": 5}']
)
def test_a_file_of_tensors_with_another_header_is_refused(folder, header):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match=r"model\.safetensors: not a readable safetensors file"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize(
    "content", ["[1]", "null", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 5}}']
)
def test_an_index_of_other_files_than_those_beside_it_is_refused(folder, content):
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json: h(olds|as no weight_map)"):
        load_checkpoint(str(folder))


@pytest.mark.skipif(os.name != "posix", reason="pipes in a folder")
def test_a_pipe_that_an_index_names_is_refused_whatever_its_ending(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "weights.bin")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"model.norm.weight": "weights.bin"}}')
    with pytest.raises(UserError, match=r"weights\.bin: is a named pipe; expected a file"):
        load_checkpoint(str(folder))


def test_of_many_files_each_is_looked_at_once(folder):
    """For each of the others it would take minutes."""
    for number in range(3_000):
        (folder / f"{number}.json").touch()
    begin = time.process_time()
    assert active_parts(folder)
    assert time.process_time() - begin < 5
