"""A task with data of its own says what is asked, and can say nothing that runs."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from harness.calibration.files import task_data_files
from harness.errors import UserError
from harness.evaluations import _task_items
from harness.evaluations._local_tasks import local_task
from harness.evaluations.zero_shot import tasks_with_data
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

TASK = {
    "task": "facts",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "items.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Q: {{query.strip()}}\nA:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold + 0}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0},
}
ITEMS = [{"query": " one? ", "choices": ["a", "b"], "gold": 1}, {"query": "two?", "choices": ["c", "d"], "gold": 0}]


def written(folder, *without, **changes):
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**TASK, **changes}.items() if key not in without}))
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return path


def test_a_task_asks_what_its_templates_make_of_its_items(tmp_path):
    (task,) = tasks_with_data([written(tmp_path)])
    task.build_all_requests(limit=None, rank=0, world_size=1)
    asked = [request.args for request in task.instances]
    assert asked == [("Q: one?\nA:", " a"), ("Q: one?\nA:", " b"), ("Q: two?\nA:", " c"), ("Q: two?\nA:", " d")]
    assert [task.doc_to_target(item) for item in task.eval_docs] == [1, 0]


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"])
def test_no_template_of_a_task_runs_code(tmp_path, key):
    marker = tmp_path / "marker"
    code = "{{ cycler.__init__.__globals__.os.system('touch " + str(marker) + "') }}"
    with pytest.raises(UserError, match="cannot be rendered"):
        local_task(written(tmp_path, **{key: code})).build_all_requests(limit=None, rank=0, world_size=1)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"process_docs": "evil.run"}, "process_docs is no key here"),
        ({"process_results": "evil.run"}, "process_results is no key here"),
        ({"custom_dataset": "evil.run"}, "custom_dataset is no key here"),
        ({"use_prompt": "promptsource:x"}, "use_prompt is no key here"),
        ({"unsafe_code": True}, "unsafe_code is no key here"),
        ({"include": "/etc/passwd"}, "include is no key here"),
        ({"class": "evil.Task"}, "class is no key here"),
        ({"group": "x"}, "group is no key here"),
        ({"fewshot_config": {"sampler": "evil"}}, "fewshot_config is no key here"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "regex", "regex_pattern": "(a+)+$"}]}]}, "filter_list"),
        ({"metric_list": [{"metric": "./evil.py"}]}, "metric_list"),
        ({"metric_list": [{"metric": "acc", "hf_evaluate": True}]}, "hf_evaluate is no key here"),
        ({"metric_list": [{"metric": "acc_norm"}]}, "holds no acc"),
        ({"dataset_path": "./evil.py"}, "dataset_path"),
        ({"dataset_path": "pandas"}, "dataset_path"),
        ({"dataset_path": "someone/dataset"}, "dataset_path"),
        ({"dataset_kwargs": {"data_files": {"test": "items.jsonl"}, "trust_remote_code": True}}, "trust_remote_code"),
        ({"dataset_kwargs": {"data_files": {"test": "https://example.org/x.jsonl"}}}, "data_files.test"),
        ({"dataset_kwargs": {"data_files": {"test": "*.jsonl"}}}, "data_files.test"),
        ({"output_type": "generate_until"}, "output_type"),
        ({"test_split": "other"}, "data_files name no other"),
        ({"test_split": None}, "give test_split or validation_split"),
        ({"metadata": {"version": float("nan")}}, "'.nan' is no finite number"),
    ],
)
def test_what_could_bring_in_code_is_no_task(tmp_path, changes, said):
    with pytest.raises(UserError, match=f"task.yaml:[0-9]+: .*{said}"):
        load_yaml_model(written(tmp_path, **changes), ZeroShotTask)


def test_a_function_tag_is_no_task(tmp_path):
    path = written(tmp_path, "doc_to_text")
    path.write_text(path.read_text() + "doc_to_text: !function evil.run\n")
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match=r"task.yaml:16: .*cannot be read as '!function'"):
        task_data_files(path)


def test_pictures_and_moments_in_a_file_are_refused_before_they_are_opened(tmp_path):
    picture = {"info": {"features": {"query": {"_type": "Image"}}}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"query": pa.array([{"bytes": None, "path": "/etc/passwd"}], kind)})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(picture)}), tmp_path / "items.parquet")
    files = {"data_files": {"test": "items.parquet"}}
    with pytest.raises(UserError, match="expected text, numbers"):
        local_task(written(tmp_path, dataset_path="parquet", dataset_kwargs=files))
    task = written(tmp_path)
    (tmp_path / "items.jsonl").write_text('{"query": "2020-01-01 00:00:00"}\n')
    with pytest.raises(UserError, match="a column is timestamp"):
        local_task(task)


@pytest.mark.parametrize("content", ["", "{", '{"query": 1}\n', "\x00"])
def test_items_that_are_none_are_named(tmp_path, content):
    task = written(tmp_path)
    (tmp_path / "items.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"items.jsonl|task.yaml"):
        local_task(task)


def test_a_packed_file_is_not_unpacked(tmp_path):
    task = written(tmp_path)
    (tmp_path / "items.jsonl").write_bytes(gzip.compress(b'{"query": "x"}'))
    with pytest.raises(UserError, match=r"items.jsonl: is packed \(gzip\)"):
        local_task(task)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"query": "a"}\n\n{"query": \n', "items.jsonl:3: not JSON"),
        ('{"query": "a"}\n["b"]\n"c"\n', "items.jsonl:2: an item is a str; expected a mapping"),
        ('{"query": NaN}\n', "items.jsonl:1: NaN is no finite number"),
        ("[" * 100_000, "items.jsonl:1: is nested more than 60 levels deep"),
        ('{"query": "a", "query": "b"}\n', "items.jsonl:1: the key 'query' is given twice"),
        (b'{"query": "\xff"}\n', "items.jsonl:1: cannot be read: it is not UTF-8"),
        (
            "".join(f'{{"k{n}": {{"k{n}": 1}}}}\n' for n in range(2_000)),
            "items.jsonl:1001: holds more than 1000 columns",
        ),
        ('{"query": "a"}\n' * 400_001, "items.jsonl:400001: holds more than 400000 items"),
        (json.dumps({f"k{n}": 1 for n in range(900)}) + '\n{"k0": 1}' * 3_000, "items.jsonl:2223: rows times columns"),
    ],
    ids=[
        "cut off",
        "no mapping",
        "no number",
        "nested",
        "a key twice",
        "another encoding",
        "a column for each item",
        "items",
        "values",
    ],
)
def test_items_that_are_no_plain_values_are_told_with_their_line(tmp_path, content, said):
    task = written(tmp_path)
    (tmp_path / "items.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        local_task(task)
    assert said in str(caught.value)


def test_a_row_of_another_length_is_told_with_its_line(tmp_path):
    task = written(tmp_path, dataset_path="csv", dataset_kwargs={"data_files": {"test": "items.csv"}})
    (tmp_path / "items.csv").write_text('query,choices\n"a\nb",c\nd,e,f\n')
    with pytest.raises(UserError, match=r"items.csv:4: the row has 3 fields; expected 2"):
        local_task(task)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, monkeypatch):
    task = written(tmp_path, dataset_path="parquet", dataset_kwargs={"data_files": {"test": "items.parquet"}})
    file = tmp_path / "items.parquet"
    pq.write_table(pa.table({"query": pa.array(["x" * 100_000]).take(pa.array([0] * 20_000))}), file)
    assert file.stat().st_size < 300_000
    monkeypatch.setattr(_task_items, "LARGEST", 1 << 24)
    with pytest.raises(UserError, match=r"items.parquet: unpacks to more than"):
        local_task(task)
    pq.write_table(pa.table({"query": pa.nulls(_task_items.MOST_ITEMS + 1, pa.int8())}), file)
    with pytest.raises(UserError, match="holds more than 400000 items"):
        local_task(task)
    pq.write_table(pa.table({"query": [[1] * (_task_items.MOST_VALUES + 1)]}), file)
    with pytest.raises(UserError, match="rows times columns are more than"):
        local_task(task)
    file.write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(UserError, match=r"items.parquet: its items cannot be read as parquet"):
        local_task(task)
