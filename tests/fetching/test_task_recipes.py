"""Multiple-choice questions in T0's wording, as items of zero-shot tasks."""

import json

import pytest
import yaml

from harness.errors import UserError
from harness.fetching.task_recipes import commonsense_qa, passages, sciq, task_file
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

PASSAGE = "Bread rises when yeast makes gas.\n\nThe gas is carbon dioxide."


def science(choices, answer, passage=PASSAGE):
    listed = "\n\n".join(f"- {choice}" for choice in choices)
    return {
        "prompt": f"Answer the following question given this paragraph: \n\n{passage}\n\n\n"
        "Q: What makes bread rise?\n\n "
        f"Choices:\n\n{listed}\n\nA:\n",
        "completion": f"{answer}<|endoftext|>",
    }


def common(choices, answer):
    listed = "\n".join(f"- {choice}" for choice in choices)
    return {
        "prompt": "Given the options below, select the most suitable answer for the following question:\n"
        f"Where does one bake?\nOptions:\n{listed}\n",
        "completion": f"{answer}<|endoftext|>",
    }


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_question_stands_behind_its_passage_and_its_choices_are_texts(tmp_path):
    (item,) = map(json.loads, sciq(written(tmp_path, science(["salt", "gas", "heat", "oil"], "gas"))).splitlines())
    assert item == {
        "query": f"{PASSAGE}\nQuestion: What makes bread rise?\nAnswer:",
        "choices": ["salt", "gas", "heat", "oil"],
        "gold": 1,
    }


def test_a_question_whose_right_choice_is_missing_or_there_twice_is_not_asked(tmp_path):
    rows = [common(["oven", "sea"], "oven"), common(["sea", "sky"], "oven"), common(["oven", "oven"], "oven")]
    (item,) = map(json.loads, commonsense_qa(written(tmp_path, *rows)).splitlines())
    assert item == {"query": "Question: Where does one bake?\nAnswer:", "choices": ["oven", "sea"], "gold": 0}


def test_each_passage_is_read_once_also_those_of_questions_that_are_not_asked(tmp_path):
    rows = [
        science(["gas"], "gas"),
        science(["salt"], "gas"),
        science(["gas"], "gas", "Salt slows it."),
        science(["a"], "a", ""),
    ]
    assert passages(written(tmp_path, *rows)) == f"{PASSAGE}\n\nSalt slows it."


@pytest.mark.parametrize("row", [{"prompt": "Q: no choices", "completion": "x"}, {"prompt": 1, "completion": "x"}, []])
def test_another_wording_is_told_with_its_line(tmp_path, row):
    with pytest.raises(UserError, match=r"rows.jsonl:2: not a multiple-choice question"):
        sciq(written(tmp_path, science(["gas"], "gas"), row))


@pytest.mark.parametrize(("name", "chance"), [("sciq", 0.25), ("commonsense-qa", 0.2)])
def test_the_file_of_a_task_is_one_that_variants_may_name(tmp_path, name, chance):
    path = tmp_path / "task.yaml"
    path.write_text(task_file(name, "items.jsonl"))
    task = load_yaml_model(path, ZeroShotTask)
    assert task.dataset_kwargs.data_files == {"test": "items.jsonl"}
    assert yaml.safe_load(path.read_text())["metadata"]["chance"] == chance
