"""What a build of calibration data that was ended on its way leaves, and what the next one makes of it."""

import hashlib
import json
import signal
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.runs.calibration_folder import free_folder, write_built
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.storage import cleared
from tests.environment import environment

TABLES = {"safety_full.csv": "prompt,response\na,b\n", "safety_short.csv": "prompt,response\na,c\n"}
MANIFEST = {"files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TABLES.items()}}
KILLED = """
import json, pathlib, sys, time
from harness.runs.calibration_folder import write_built
class Slow(dict):
    def items(self):
        for each in list(super().items())[:{written}]:
            yield each
        print("there", flush=True)
        time.sleep(60)
write_built(pathlib.Path({folder!r}), Slow({tables!r}), {manifest!r})
"""


@pytest.fixture
def free():
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    return lambda out: free_folder(variant, path, out)


def killed(folder, written):
    code = KILLED.format(folder=str(folder), written=written, tables=TABLES, manifest=MANIFEST)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("written", [0, 1])
def test_what_a_killed_build_has_half_written_is_cleared_and_named(tmp_path, free, written):
    killed(tmp_path, written)
    assert (tmp_path / "calibration.json").is_file() and (tmp_path / "safety_full.csv").is_file() == bool(written)
    assert free(tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert {path.name for path in cleared()} >= {"calibration.json", *list(TABLES)[:written]}
    write_built(tmp_path, TABLES, MANIFEST)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.csv")} == TABLES
    assert json.loads((tmp_path / "calibration.json").read_text()) == MANIFEST


def test_a_file_that_the_killed_build_did_not_write_is_not_taken_away(tmp_path, free):
    killed(tmp_path, 1)
    (tmp_path / "safety_full.csv").write_text("somebody's own")
    with pytest.raises(UserError, match=r"safety_full\.csv: exists already"):
        free(tmp_path)
    assert (tmp_path / "safety_full.csv").read_text() == "somebody's own"


def test_a_build_that_cannot_write_them_all_writes_none(tmp_path):
    (tmp_path / "safety_short.csv").write_text("another's")
    with pytest.raises(UserError, match=r"safety_short\.csv: exists already"):
        write_built(tmp_path, TABLES, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == ["safety_short.csv"]
