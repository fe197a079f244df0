"""What a wheel holds: everything that is needed away from a checkout."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import harness

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder of an unpacked wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")
    return folder / "unpacked"


def run(unpacked, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=unpacked.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_every_file_of_the_package_that_git_knows(unpacked):
    tracked = subprocess.run(
        ["git", "ls-files", "harness", "benchmarks", "golden"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\n")[:-1]
    shipped = [name if name.startswith("harness/") else f"harness/shipped/{name}" for name in tracked]
    assert [name for name in shipped if not (unpacked / name).is_file()] == []
    assert (unpacked / "harness" / "py.typed").is_file()


def test_an_installed_wheel_lists_and_validates_what_it_ships(unpacked):
    listed = run(unpacked, "list")
    assert listed.returncode == 0, listed.stderr
    assert "figure-2a" in listed.stdout and "tiny-llama3-instruct" in listed.stdout
    assert run(unpacked, "validate").returncode == 0


def test_the_version_is_the_same_everywhere(unpacked):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    assert re.search(r"^Version: (.*)$", metadata.read_text(), re.MULTILINE)[1] == harness.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == harness.__version__
    assert f"## {harness.__version__}" in (ROOT / "CHANGELOG.md").read_text()
