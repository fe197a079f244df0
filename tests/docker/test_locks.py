"""The locked requirements: whole, hashed, of one mind with pyproject.toml and with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in (ROOT / "docker").glob("requirements-*.txt"))


def entries(name):
    """(requirement, its hashes) of every entry of a file."""
    text = (ROOT / "docker" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    return [
        (Requirement(line.partition(" --hash")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
        for line in lines
    ]


def versions(name):
    return {canonicalize_name(wanted.name): str(wanted.specifier).removeprefix("==") for wanted, _ in entries(name)}


def test_there_are_locks_for_both_images_the_tests_and_the_linters():
    wanted = {"build", "cpu", "cuda", "lint", "tests", "torch-cpu", "torch-pypi"}
    assert {f"requirements-{name}.txt" for name in wanted} <= set(LOCKS)


@pytest.mark.parametrize("name", ["build", "cpu", "cuda", "lint", "tests", "torch-cpu", "torch-pypi"])
def test_every_requirement_has_one_version_and_hashes(name):
    for wanted, hashes in entries(f"requirements-{name}.txt"):
        assert re.fullmatch(r"==[^,*]+", str(wanted.specifier)), wanted
        assert hashes, wanted
        assert wanted.url is None, wanted


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_what_the_package_needs_is_locked_in_a_version_that_it_accepts(name):
    locked = versions(f"requirements-{name}.txt") | versions("requirements-torch-pypi.txt")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_what_the_input_pins_is_what_the_locks_hold():
    lines = (ROOT / "docker" / "requirements-cpu.in").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for name in ("cpu", "cuda"):
        locked = versions(f"requirements-{name}.txt") | versions("requirements-torch-pypi.txt")
        assert {p.name: locked[canonicalize_name(p.name)] for p in pinned} == {
            p.name: str(p.specifier).removeprefix("==") for p in pinned
        }


def test_both_builds_of_torch_are_of_one_version_and_the_other_sets_hold_neither_torch_nor_cuda():
    assert versions("requirements-torch-cpu.txt") == {
        "torch": versions("requirements-torch-pypi.txt")["torch"] + "+cpu"
    }
    for name in ("cpu", "cuda"):
        cuda = [found for found in versions(f"requirements-{name}.txt") if found.startswith(("nvidia-", "cuda-"))]
        assert not cuda
        assert not {"torch", "triton", "vllm"} & set(versions(f"requirements-{name}.txt"))


def test_the_images_differ_only_where_vllm_wants_another_version():
    cpu, cuda = versions("requirements-cpu.txt"), versions("requirements-cuda.txt")
    assert {name for name in cuda if cuda[name] != cpu.get(name)} <= {"numpy"}


def test_no_lock_names_where_packages_come_from():
    for name in LOCKS:
        text = (ROOT / "docker" / name).read_text()
        assert "://" not in text, name
        assert not re.search(r"^\s*(--index-url|--extra-index-url|--find-links|-i|-f)\b", text, re.MULTILINE), name
