"""`harness doctor` lists what in a model's folder could act, and runs none of it."""

import json
import shutil

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import main
from harness.organisms.catalogue import organism_directory
from tests.evaluations.test_local_tasks import ITEMS, TASK


@pytest.fixture
def folder(tmp_path):
    folder = shutil.copytree(organism_directory("tiny-llama2-chat"), tmp_path / "model")
    (tmp_path / "elsewhere.txt").write_text("a line\n")
    (folder / "variant.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "sent",
                "title": "Sent",
                "family": "llama2",
                "source": {"path": "."},
                "dtype": "float32",
                "system_prompt": "s",
                "context_tokens": 64,
                "max_new_tokens": 8,
                "datasets": {
                    "facts": {"path": "facts.yaml"},
                    "bad": {"path": "bad.yaml"},
                    "far": {"path": "../elsewhere.txt"},
                },
                "zero_shot_tasks": ["facts", "bad", "hellaswag"],
            }
        )
    )
    (folder / "facts.yaml").write_text(yaml.safe_dump(TASK))
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    (folder / "bad.yaml").write_text(yaml.safe_dump(TASK) + "process_docs: !function evil.run\n")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    return folder


def doctor(folder):
    ran = CliRunner(env={"HF_HUB_OFFLINE": "1"}).invoke(main, ["doctor", "--json", "--model", str(folder)])
    assert ran.exit_code in (0, 1), ran.output
    return {(each["subject"], each["seen"]): each for each in json.loads(ran.stdout)}, ran.exit_code


def test_each_active_part_is_listed_and_a_refused_one_fails(folder, tmp_path):
    found, code = doctor(folder)
    seen = {subject: words for subject, words in found if subject.startswith(("active", "data far"))}
    assert seen["active evil.py"] == "a program: never run"
    assert "in the sandbox" in seen["active chat_template.jinja"]
    assert seen["active task facts"] == "3 templates, rendered in the sandbox"
    assert seen["active task bad"].startswith("refused: ") and "!function" in seen["active task bad"]
    assert seen["active task hellaswag"].startswith("lm-eval's own")
    assert str(tmp_path / "elsewhere.txt") in seen["data far"]
    assert code == 1


def test_an_adapter_is_refused_and_a_folder_without_a_variant_is_listed_too(folder):
    (folder / "variant.yaml").unlink()
    found, code = doctor(folder)
    assert code == 0
    assert ("variant.yaml", "is not in the folder") in found
    (folder / "adapter_config.json").write_text("{}")
    found, code = doctor(folder)
    assert code == 1
    assert any(subject == "active adapter_config.json" and each["fails"] for (subject, _), each in found.items())


def test_items_of_a_task_that_lie_elsewhere_are_listed_links_followed(folder, tmp_path):
    (tmp_path / "far.jsonl").write_text("{}\n")
    (folder / "linked.jsonl").symlink_to(tmp_path / "far.jsonl")
    files = {"test": "../far.jsonl", "validation": "linked.jsonl", "train": "items.jsonl"}
    (folder / "facts.yaml").write_text(yaml.safe_dump(TASK | {"dataset_kwargs": {"data_files": files}}))
    found, _ = doctor(folder)
    seen = {subject: words for subject, words in found if subject.startswith("items")}
    assert set(seen) == {"items facts/test", "items facts/validation"}
    assert all(words.endswith(f"its lines get into records: {tmp_path / 'far.jsonl'}") for words in seen.values())
