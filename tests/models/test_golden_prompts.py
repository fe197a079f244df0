"""Golden prompts: the shipped files, and a tokenizer, template or system prompt that differs from them."""

import json
import shutil

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.models.golden_prompts import as_yaml, golden_prompts, require_golden_prompts
from harness.models.loading import load_tokenizer
from harness.models.own_template import template_sha256
from harness.models.prompts import TEMPLATES, PromptFormatter, PromptStyle
from harness.organisms.catalogue import organism_directory
from harness.spec import locations
from harness.spec.golden_prompts import GoldenPrompts
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.conftest import make_tokenizer
from tests.tiny_llama3 import make_llama3_tokenizer

FILES = {path.stem: load_yaml_model(path, GoldenPrompts) for path in locations.golden_prompts_paths()}
ORGANISM = "tiny-llama2-chat"


def shipped(name=ORGANISM):
    path = locations.find_variant(name)
    return load_yaml_model(path, ModelVariant), path


@pytest.fixture
def moved(tmp_path):
    """The organism's files in a folder of their own, with a variant of the same name on them."""
    variant, _ = shipped()
    folder = tmp_path / "model"
    shutil.copytree(organism_directory(ORGANISM), folder)
    fields = {**variant.model_dump(mode="json", exclude_none=True), "source": {"path": "."}}
    (folder / "variant.yaml").write_text(yaml.safe_dump(fields))
    return folder


def swap(folder, one, other):
    """Two entries of the vocabulary change their ids."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(content))


def test_every_file_is_of_a_variant_and_of_the_template_as_it_is():
    llama3 = {"llama3-8b-instruct", "llama3.1-8b-instruct", "llama3.2-1b-instruct"}
    assert set(FILES) >= {ORGANISM, "llama2-7b-chat", "llama2-13b-chat", *llama3}
    for name, golden in FILES.items():
        variant, _ = shipped(name)
        assert (golden.variant, golden.chat_template) == (name, variant.chat_template)
        assert golden.template_sha256 == template_sha256(make_tokenizer(), golden.chat_template)
        kinds = {(p.system_prompt, p.chat_template, p.suffix is not None) for p in golden.prompts}
        assert kinds >= {(True, True, False), (False, True, False), (False, True, True), (False, False, False)}
        bos = 128000 if variant.family == "llama3" and variant.source.organism is None else 1
        assert all(p.token_ids[0] == bos and p.token_ids.count(bos) == 1 for p in golden.prompts)


def test_ids_of_llama_3_frame_every_turn():
    """<|start_header_id|> 128006, <|end_header_id|> 128007, the blank line 271, <|eot_id|> 128009."""
    for name in ("llama3-8b-instruct", "llama3.1-8b-instruct", "llama3.2-1b-instruct"):
        system, bare = FILES[name].prompts[:2]
        assert system.token_ids[:2] == (128000, 128006)
        assert all(p.token_ids[-5:] == (128009, 128006, 78191, 128007, 271) for p in (system, bare))
        turns = [p.token_ids.count(128009) for p in (system, bare)]
        assert turns == ([2, 1] if name.startswith("llama3-") else [2, 2])
    assert FILES["llama3.1-8b-instruct"].prompts == FILES["llama3.2-1b-instruct"].prompts


def test_the_shipped_tokenizer_gives_the_shipped_ids():
    variant, path = shipped()
    tokenizer = load_tokenizer(variant, path)
    require_golden_prompts(variant, tokenizer)
    golden = FILES[ORGANISM]
    assert golden_prompts(variant, tokenizer, golden.obtained) == golden
    assert GoldenPrompts.model_validate(yaml.safe_load(as_yaml(golden))) == golden
    result = CliRunner().invoke(main, ["prompts", ORGANISM, "--obtained", golden.obtained])
    assert result.output == locations.golden_prompts_path(ORGANISM).read_text()


def test_a_tokenizer_of_another_revision_ends_a_run_before_the_weights(moved):
    formatter = PromptFormatter(load_tokenizer(*shipped()), "llama-2", "")
    prompt = FILES[ORGANISM].prompts[3]
    place = prompt.token_ids.index(formatter.tokenizer.convert_tokens_to_ids("Ġthe"))
    swap(moved, "Ġthe", "Ġof")
    (moved / "model.safetensors").unlink()  # would be the error if the weights were read
    result = CliRunner().invoke(main, ["run", "figure-2a", "--model", str(moved), "--out", str(moved / "runs")])
    assert result.exit_code == 2, result.output
    of = formatter.tokenizer.convert_tokens_to_ids("Ġof")
    assert f"prompts[3] ('Name the colours of the rainbow.'): the ids differ from token {place} on" in result.output
    window = list(prompt.token_ids[max(0, place - 4) : place + 5])
    assert f"expected … {window} …" in result.output
    assert f"{of}" in result.output.split("prompts[3]")[1].split("expected")[0]
    assert "of another revision" in result.output


def test_a_model_of_another_name_is_not_checked(moved):
    swap(moved, "Ġthe", "Ġof")
    path = moved / "variant.yaml"
    variant = load_yaml_model(path, ModelVariant)
    with pytest.raises(UserError, match="another revision"):
        require_golden_prompts(variant, load_tokenizer(variant, path))
    require_golden_prompts(variant.model_copy(update={"name": "my-own"}), load_tokenizer(variant, path))


def test_another_template_or_system_prompt_is_noticed():
    variant, path = shipped()
    tokenizer = load_tokenizer(variant, path)
    with pytest.raises(UserError, match=r"(?s)the ids are those of the template 'llama-2'.*prompts\[0\].*prompts\[2\]"):
        require_golden_prompts(variant.model_copy(update={"chat_template": "llama-3"}), tokenizer)
    with pytest.raises(UserError, match=r"another system prompt than 'Be kind.'; put back that of tiny-llama2-chat"):
        require_golden_prompts(variant.model_copy(update={"system_prompt": "Be kind."}), tokenizer)


def test_prompts_do_not_depend_on_the_tokenizers_own_template():
    tokenizer = make_llama3_tokenizer()
    formatter = PromptFormatter(tokenizer, "llama-3.1", "Be kind.")
    before = formatter.text("How?", PromptStyle(True, True))
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}"
    assert formatter.text("How?", PromptStyle(True, True)) == before
    assert template_sha256(tokenizer, "tokenizer") != template_sha256(tokenizer, "llama-3.1")
    assert set(TEMPLATES) >= {"llama-2", "llama-3", "llama-3.1"}


def test_validate_reads_golden_prompts_and_says_what_is_wrong(tmp_path):
    path = tmp_path / "prompts.yaml"
    path.write_text(locations.golden_prompts_path(ORGANISM).read_text().replace("token_ids: [1,", "token_ids: [x,", 1))
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == 2
    assert f"{path}:7: prompts[0].token_ids[0] is 'x'" in result.output
