"""docker/container.py: which engine it takes, and what it tells it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "container.py"
specification = importlib.util.spec_from_file_location("container", SCRIPT)
container = importlib.util.module_from_spec(specification)
specification.loader.exec_module(container)


@pytest.fixture
def path_with(tmp_path):
    """path_with(docker=1, podman=0): a PATH of programs of these names, with these exit codes."""

    def make(**exit_codes):
        for name, code in exit_codes.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\nexit {code}\n")
            program.chmod(0o755)
        return {"PATH": str(tmp_path)}

    return make


def test_a_client_whose_service_does_not_answer_is_no_engine(path_with, tmp_path):
    assert container.engine(path_with(docker=1, podman=0, buildah=0)) == [str(tmp_path / "podman")]


def test_the_engine_that_is_asked_for_is_taken_with_its_options(path_with):
    environment = path_with(docker=0) | {"CONTAINER_ENGINE": "buildah --storage-driver vfs"}
    assert container.engine(environment) == ["buildah", "--storage-driver", "vfs"]


def test_no_engine_is_a_usage_error_that_says_what_to_do(path_with, capsys):
    with pytest.raises(SystemExit) as ended:
        container.engine(path_with(docker=1))
    assert ended.value.code == 2
    assert "CONTAINER_ENGINE" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("cpu",), ("gpu", "reproduce")])
def test_a_call_without_image_or_session_ends_with_2(arguments):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected cpu or cuda" in done.stderr


def test_inside_are_the_digest_the_volumes_no_network_and_nobody_who_is_root():
    options = container.run_options("cpu", "sha256:1", Path("/r"), Path("/c"))
    pairs = list(zip(options[::2], options[1::2], strict=True))
    uid = os.getuid() or 1000
    assert pairs == [
        ("--network", "none"),
        ("--user", f"{uid}:{os.getgid() or 1000}"),
        ("--env", "HARNESS_IMAGE_DIGEST=sha256:1"),
        ("--volume", "/r:/app/runs"),
        ("--volume", "/c:/app/.cache"),
    ]
    assert container.run_options("cuda", "sha256:1", Path("/r"), Path("/c"))[-4:] == ["--gpus", "all", "--ipc", "host"]


def test_arguments_go_to_the_session():
    assert container.inside("reproduce", []) == ["nox", "--session", "reproduce"]
    assert container.inside("regress", ["--model", "m"]) == ["nox", "--session", "regress", "--", "--model", "m"]
