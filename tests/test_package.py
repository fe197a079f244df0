"""What a wheel holds: everything that is needed away from a checkout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import harness
from tests.environment import environment
from tests.installed import install

ROOT = Path(__file__).parents[1]
BENCHMARK = """
id: tiny
title: Perplexity of the intact model
source: {work: test}
cells: [{id: intact, title: Intact}]
golden_values: none
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder into which a wheel, built from this checkout, is installed without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    install(ROOT, folder / "unpacked")
    return folder / "unpacked"


def run(unpacked, *arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd or unpacked.parent,
        env=environment(unpacked),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_every_file_of_the_package_that_git_knows(unpacked):
    tracked = subprocess.run(
        ["git", "ls-files", "harness", "benchmarks", "golden", "schemas"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")[:-1]
    shipped = [name if name.startswith("harness/") else f"harness/shipped/{name}" for name in tracked]
    assert [name for name in shipped if not (unpacked / name).is_file()] == []
    assert (unpacked / "harness" / "py.typed").is_file()


def test_an_installed_wheel_works_in_an_empty_folder(unpacked, tmp_path):
    """Nothing of a checkout is near: version, help, list, validate and the schemas."""
    version = run(unpacked, "--version", cwd=tmp_path)
    assert version.returncode == 0 and harness.__version__ in version.stdout
    for arguments in (("--help",), ("list",), ("validate",), ("schema", "benchmark")):
        done = run(unpacked, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert (unpacked / "bin" / "harness").is_file()


def test_the_metadata_name_extras_and_addresses(unpacked):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    assert set(re.findall(r"^Provides-Extra: (.*)$", text, re.MULTILINE)) >= {"docs", "ray", "vllm"}
    assert "Project-URL: Paper, " in text and "Development Status :: 4 - Beta" in text


def test_an_installed_wheel_lists_and_validates_what_it_ships(unpacked):
    listed = run(unpacked, "list")
    assert listed.returncode == 0, listed.stderr
    assert "figure-2a" in listed.stdout and "tiny-llama3-instruct" in listed.stdout
    assert run(unpacked, "validate").returncode == 0


def test_an_installed_wheel_writes_golden_values_beside_the_user_and_never_into_itself(unpacked, tmp_path):
    """With a catalogue of his own, and without; the benchmark is known by its name alone."""
    benchmarks = tmp_path / "own" / "benchmarks"
    benchmarks.mkdir(parents=True)
    (benchmarks / "tiny.yaml").write_text(BENCHMARK)
    before = {path: path.read_bytes() for path in unpacked.rglob("*.yaml")}
    measured = run(unpacked, "run", "tiny", "--model", "tiny-llama2-chat", "--catalogue", "own", cwd=tmp_path)
    assert measured.returncode == 0, measured.stdout + measured.stderr
    (record,) = tmp_path.glob("runs/tiny-llama2-chat/tiny/*/record.json")
    command = json.loads(record.read_text())["provenance"]["command"]
    assert command == "harness run tiny --model tiny-llama2-chat --catalogue own"
    for options, target in (((), ""), (("--catalogue", "own"), "own/")):
        accepted = run(unpacked, "accept", str(record), "--reason", "because", *options, cwd=tmp_path)
        assert f"written: {target}golden/tiny-llama2-chat/tiny.yaml" in accepted.stdout, accepted.stderr
        assert (tmp_path / target / "golden/tiny-llama2-chat/tiny.yaml").is_file()
    assert {path: path.read_bytes() for path in unpacked.rglob("*.yaml")} == before


def test_the_version_is_the_same_everywhere(unpacked):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    assert re.search(r"^Version: (.*)$", metadata.read_text(), re.MULTILINE)[1] == harness.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == harness.__version__
    assert f"## [{harness.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()
