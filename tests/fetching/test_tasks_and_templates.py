"""Tasks that are made of a pinned file, and prompts in the template that a folder's tokenizer brings."""

import json
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness.calibration.files import dataset_path, task_data_files
from harness.calibration.pairs import read_pairs
from harness.cli import main
from harness.errors import UserError
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.conftest import make_tokenizer

TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
QUESTION = (
    "Answer the following question given this paragraph: \n\nYeast makes gas.\n\n\nQ: What makes gas?\n\n Choices:\n\n"
    "- salt\n\n- yeast\n\nA:\n"
)


@pytest.fixture
def variant_with_its_own(variant_file, pinned, served):
    """The test's variant with the template of its tokenizer, which lies beside its file, and a task."""
    served.files["/sciq.jsonl"] = json.dumps({"prompt": QUESTION, "completion": "yeast<|endoftext|>"}).encode() + b"\n"
    files = yaml.safe_load(pinned.read_text())
    files["files"]["sciq"] = {"url": f"{served.address}/sciq.jsonl"}
    pinned.write_text(yaml.safe_dump(files))
    content = yaml.safe_load(variant_file.read_text()) | {"chat_template": "tokenizer"}
    content["datasets"] = {"utility": {"source": "utility", "system_prompt": True}, "sciq": {"source": "sciq"}}
    variant_file.write_text(yaml.safe_dump(content))
    made = make_tokenizer()
    made.chat_template = TEMPLATE
    made.save_pretrained(variant_file.parent)
    return variant_file


def fetch(file):
    return CliRunner().invoke(main, ["data", "fetch", "--model", str(file)])


def path_of(file, name):
    return dataset_path(load_yaml_model(file, ModelVariant), file, name)


def test_a_task_is_its_file_and_its_items_and_both_are_held_against_the_lock(variant_with_its_own):
    assert fetch(variant_with_its_own).exit_code == 0
    (items,) = task_data_files(path_of(variant_with_its_own, "sciq")).values()
    whole = items.read_text()
    assert json.loads(whole)["choices"] == ["salt", "yeast"]
    items.write_text(whole.replace('"gold": 1', '"gold": 0'))
    with pytest.raises(UserError, match="has changed: its SHA-256 is"):
        path_of(variant_with_its_own, "sciq")
    assert fetch(variant_with_its_own).exit_code == 0
    assert items.read_text() == whole


@pytest.mark.parametrize("lost", [None, {"of": "0" * 64}], ids=["no entry", "of other data"])
def test_items_of_which_the_lock_does_not_say_what_they_are_are_not_asked(variant_with_its_own, lost):
    assert fetch(variant_with_its_own).exit_code == 0
    place = Path(os.environ["HARNESS_DATA"]) / "lock.json"
    lock = json.loads(place.read_text())
    entry = lock["files"].pop("tasks/sciq.jsonl")
    place.write_text(json.dumps(lock | {"files": lock["files"] | ({"tasks/sciq.jsonl": entry | lost} if lost else {})}))
    with pytest.raises(UserError, match=r"sciq.jsonl: nothing says what it has to hold.*data fetch"):
        path_of(variant_with_its_own, "sciq")
    assert fetch(variant_with_its_own).exit_code == 0
    assert path_of(variant_with_its_own, "sciq").is_file()


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer_config.json"])
def test_prompts_in_a_template_that_has_changed_are_made_anew(variant_with_its_own, file):
    """They would be prompts of a template that the model is not asked in any more."""
    assert fetch(variant_with_its_own).exit_code == 0
    before = path_of(variant_with_its_own, "utility")
    assert read_pairs(before)[0].prompt == "system: Be kind.\nuser: Name a colour.\n"
    template = variant_with_its_own.parent / "chat_template.jinja"
    if file == "chat_template.jinja":
        template.write_text(TEMPLATE.replace(": ", " says "))
    else:
        template.unlink()
        config = variant_with_its_own.parent / file
        new = json.loads(config.read_text()) | {"chat_template": TEMPLATE.replace(": ", " says ")}
        config.write_text(json.dumps(new))
    with pytest.raises(UserError, match="is not there; get it with: harness data fetch"):
        path_of(variant_with_its_own, "utility")
    assert fetch(variant_with_its_own).exit_code == 0
    assert read_pairs(path_of(variant_with_its_own, "utility"))[0].prompt.startswith("system says Be kind.")
