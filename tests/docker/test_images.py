"""What has to hold of the Dockerfiles; that they build is for `nox -s container` to show."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KINDS = ("cpu", "cuda")


def instructions(kind):
    """(instruction, the rest) of every line of a Dockerfile, continued lines joined."""
    text = (ROOT / "docker" / f"{kind}.Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_pinned_by_digest_and_can_be_another(kind):
    (first, base), second = instructions(kind)[:2]
    assert first == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base)
    assert second == ("FROM", "${BASE_IMAGE}")
    assert re.search(r"\bHARNESS_BASE_IMAGE=\$\{BASE_IMAGE\}", "".join(text for _, text in instructions(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_runs_it_is_not_root(kind):
    users = [text for name, text in instructions(kind) if name == "USER"]
    assert users
    assert int(users[-1]) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_requirements_are_installed_by_their_hashes_and_before_the_code_comes(kind):
    steps = instructions(kind)
    code = steps.index(("COPY", ". ./"))
    installs = [
        (place, command)
        for place, (name, text) in enumerate(steps)
        if name == "RUN"
        for command in re.findall(r"pip install [^&|]*", text)
    ]
    of_files = [(place, command) for place, command in installs if " -r " in command]
    assert len(of_files) >= 2
    assert all(place < code and "--require-hashes" in command for place, command in of_files)
    (own,) = [(place, command) for place, command in installs if " -r " not in command]
    assert own[0] > code
    assert "--no-deps --no-build-isolation" in own[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_that_is_copied_is_let_through_to_the_build(kind):
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for name, text in instructions(kind) if name == "COPY" for word in text.split()[:-1]]
    assert all((ROOT / word).exists() and (word == "." or word.split("/")[0] in let_through) for word in copied)
    assert {"harness", "benchmarks", "golden", "schemas", "noxfile.py", "pyproject.toml", "README.md"} <= let_through


@pytest.mark.parametrize("kind", KINDS)
def test_no_volume_is_declared_that_would_hide_a_mounted_folder(kind):
    """buildah lays the volumes of an image over what is mounted at the same place: records would be lost."""
    assert "VOLUME" not in {name for name, _ in instructions(kind)}


def test_compose_has_the_volumes_the_gpu_and_no_network():
    content = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    assert set(content["services"]) == set(KINDS)
    for kind, service in content["services"].items():
        assert service["build"]["dockerfile"] == f"docker/{kind}.Dockerfile"
        assert service["network_mode"] == "none"
        mounted = dict(volume.split(":") for volume in service["volumes"])
        assert set(mounted) == set(content["volumes"])
        assert set(mounted.values()) == {"/app/.cache", "/app/runs"}
    (device,) = content["services"]["cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
