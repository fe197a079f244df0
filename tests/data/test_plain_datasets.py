"""lm-eval gets data sets in plain forms, and metrics of its own, whatever asks for them."""

import datasets
import lm_eval.api.task as tasks
import pytest

from harness.data import plain_datasets
from harness.data.lm_eval_tasks import task_manager
from harness.errors import UserError

#: Names of files, each of another form of `datasets`.
OTHERS = {"a.tar": "webdataset", "a.h5": "hdf5", "a.xml": "xml", "a.pdf": "pdffolder", "a.png": "imagefolder"}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "load_dataset", datasets.load_dataset)
    monkeypatch.setattr(tasks, "get_metric", tasks.get_metric)
    plain_datasets.install()
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_plain_forms_are_read(repository, name):
    (repository / name).write_text('{"x": 1}\n' if name == "a.jsonl" else "x\n1\n")
    assert len(tasks.datasets.load_dataset(str(repository), cache_dir=str(repository.parent / "cache"))["train"]) >= 1


@pytest.mark.parametrize("name", OTHERS)
def test_other_forms_are_refused_before_they_are_read(repository, name):
    (repository / name).write_bytes(b"x")
    with pytest.raises(UserError, match=rf"in the form '{OTHERS[name]}'; expected one of json, csv, parquet"):
        tasks.datasets.load_dataset(str(repository))


def test_a_form_that_unpickles_is_refused_by_its_name(repository):
    (repository / "a.pkl").write_bytes(b"x")
    with pytest.raises(UserError, match="in the form 'pandas'"):
        tasks.datasets.load_dataset("pandas", data_files=str(repository / "a.pkl"))


def test_a_repository_with_a_script_runs_none(repository):
    (repository / f"{repository.name}.py").write_text(f"open({str(repository / 'marker')!r}, 'w')")
    with pytest.raises((UserError, RuntimeError, ValueError, OSError)):
        tasks.datasets.load_dataset(str(repository))
    assert not (repository / "marker").exists()


@pytest.mark.parametrize("arguments", [("acc", True), ("./evil.py",), ("someone/metric",)])
def test_a_metric_that_would_be_a_script_is_refused(repository, arguments):
    assert tasks.get_metric("acc") is not None
    with pytest.raises(UserError, match=r"is none of lm-eval's own"):
        tasks.get_metric(*arguments)


def test_reading_tasks_installs_both():
    task_manager(include_defaults=False)
    assert datasets.load_dataset is plain_datasets.load_plain_dataset
    assert tasks.get_metric is plain_datasets.own_metric
