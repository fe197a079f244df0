import os

import pytest

from harness.calibration.files import dataset_path, read_lines, task_data_files
from harness.errors import UserError
from harness.reading import LARGEST
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelSource, ModelVariant

TASK = """
task: facts
dataset_path: json
test_split: test
output_type: multiple_choice
doc_to_text: query
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc}]
"""


def test_a_tasks_items_are_found_beside_its_file(tmp_path):
    task = tmp_path / "facts.yaml"
    task.write_text(f"{TASK}dataset_kwargs: {{data_files: {{test: facts.jsonl, train: more/facts.jsonl}}}}\n")
    (tmp_path / "more").mkdir()
    for name in ("facts.jsonl", "more/facts.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert task_data_files(task) == {"test": tmp_path / "facts.jsonl", "train": tmp_path / "more" / "facts.jsonl"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dataset_kwargs: {data_files: {test: none.jsonl}}", "none.jsonl: no such file; .* names it as the split"),
        ("dataset_kwargs: {data_files: items.jsonl}", "data_files.* expected a valid dictionary|dictionary"),
        ("dataset_kwargs: {data_files: {}}", "data_files"),
        ("dataset_kwargs: {data_files: {test: [a, b]}}", "data_files.test"),
        ("dataset_kwargs: [", "not YAML"),
        ("", "dataset_kwargs is missing"),
    ],
)
def test_a_task_without_items_is_refused(tmp_path, text, wanted):
    task = tmp_path / "facts.yaml"
    task.write_text(TASK + text)
    with pytest.raises(UserError, match=wanted):
        task_data_files(task)


def test_a_line_ends_where_lines_end_and_nowhere_else(tmp_path):
    path = tmp_path / "requests.txt"
    path.write_bytes("\ufefffirst\r\n  one\u2028two\u0085three\x0bfour\x0cfive\x1c six \rlast\n\n".encode())
    assert read_lines(path) == ["first", "one\u2028two\u0085three\x0bfour\x0cfive\x1c six", "last"]


def test_a_file_that_no_machine_holds_in_memory_is_told_before_it_is_read(tmp_path):
    (tmp_path / "large.txt").touch()
    os.truncate(tmp_path / "large.txt", LARGEST + 1)
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    variant = shipped.model_copy(
        update={"source": ModelSource(path="."), "datasets": {"requests": DatasetFile(path="large.txt")}}
    )
    with pytest.raises(UserError, match=r"large\.txt: the dataset 'requests' has 1073741825 bytes; expected at most"):
        dataset_path(variant, tmp_path / "variant.yaml", "requests")
