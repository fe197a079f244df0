"""The data of a task of lm-eval, fetched by `datasets` from a server that answers as the hub does."""

import io
import json
import os
import subprocess
import sys

import pyarrow
import pytest
from pyarrow import parquet

from harness.data.cache import LockedTask, read_lock, record_task
from harness.fetching.tasks import task_problem
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import pinned_data
from harness.spec.variant import ModelVariant

CARD = """---
configs:
- config_name: boolq
  data_files:
  - {split: train, path: boolq/validation-*}
  - {split: validation, path: boolq/validation-*}
---
"""
FETCH = 'from harness.cli import main; main(["data", "fetch", "--model", "llama2-7b-chat", "--only", "boolq"])'
ASK = 'from harness.evaluations.zero_shot import tasks_with_data; print(tasks_with_data(["boolq"])[0].eval_docs[1])'


@pytest.fixture
def hub(served, tmp_path, monkeypatch):
    """hub(code, offline): run code in a process of its own with the server as the hub, which has aps/super_glue."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"question": ["a", "b"], "passage": ["c", "d"], "label": [0, 1]}), table)
    repository, revision = "aps/super_glue", pinned_data().tasks["boolq"].revision
    file = {
        "type": "file",
        "path": "boolq/validation-00000-of-00001.parquet",
        "size": table.getbuffer().nbytes,
        "oid": "0" * 40,
    }
    about = {
        "id": repository,
        "sha": revision,
        "siblings": [{"rfilename": file["path"]}],
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
    }
    api, files = f"/api/datasets/{repository}", f"/datasets/{repository}/resolve/{revision}"
    served.commit = revision
    served.files = {
        f"{api}/revision/{revision}": json.dumps(about).encode(),
        f"{api}/tree/{revision}": json.dumps([file]).encode(),
        f"{api}/tree/{revision}/boolq": json.dumps([file]).encode(),
        f"{api}/paths-info/{revision}": json.dumps([file]).encode(),
        f"{files}/README.md": CARD.encode(),
        f"{files}/{file['path']}": table.getvalue(),
    }

    def run(code, offline):
        environment = {
            **os.environ,
            "HF_ENDPOINT": served.address,
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HOME": str(tmp_path / "hf"),
        }
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_task_is_fetched_at_its_revision_and_asked_offline(hub, served):
    done = hub(FETCH, offline=False)
    assert done.returncode == 0, done.stderr
    locked = read_lock().tasks["boolq"]
    assert (locked.items, locked.version, locked.revision) == (2, "2.0", pinned_data().tasks["boolq"].revision)
    asked = [path for path in served.asked if "super_glue" in path]
    assert asked
    assert all(locked.revision in path for path in asked)
    served.asked.clear()
    done = hub(ASK, offline=True)
    assert done.stdout.strip() == "{'question': 'b', 'passage': 'd', 'label': 1}", done.stderr
    record_task("boolq", locked.model_copy(update={"sha256": "0" * 64}))
    assert "the items of lm-eval's task 'boolq' have changed" in hub(ASK, offline=True).stderr
    assert served.asked == []


def test_offline_a_task_that_was_not_fetched_ends_as_bad_input(hub, served):
    done = hub(FETCH, offline=True)
    assert (done.returncode, "HF_HUB_OFFLINE is set" in done.stderr) == (2, True)
    assert served.asked == []


def test_a_task_that_was_not_fetched_is_a_problem_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    path = locations.find_variant("llama2-7b-chat")
    variant = load_yaml_model(path, ModelVariant)
    assert "harness data fetch --model llama2-7b-chat" in task_problem("boolq", variant, path)
    record_task("boolq", LockedTask(sha256="0" * 64, items=1, version="1.0", revision="1" * 40))
    assert "are of another revision" in task_problem("boolq", variant, path)
    record_task(
        "boolq", LockedTask(sha256="0" * 64, items=1, version="1.0", revision=pinned_data().tasks["boolq"].revision)
    )
    assert task_problem("boolq", variant, path) is None
