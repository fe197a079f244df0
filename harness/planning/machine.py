"""What `harness doctor` sees of the machine: Python, packages, GPU, disk."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement

from harness.planning import inventory
from harness.planning.memory import CONTEXT_BYTES
from harness.spec import locations

_PACKAGE = "brittleness-harness"


@dataclass(frozen=True)
class Finding:
    """One line. good: None where nothing was looked at. needed: the variant cannot be run without it."""

    subject: str
    good: bool | None
    seen: str
    fix: str = ""
    needed: bool = False

    @property
    def fails(self) -> bool:
        """Whether the exit code tells of it."""
        return self.needed and self.good is not True


def python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("python", good, platform.python_version(), "" if good else "use Python 3.11 or newer", needed=True)


def packages() -> Iterator[Finding]:
    """Direct dependencies: whether they are there and allowed (needed), and whether they are the pinned ones."""
    pinned = _lock()
    try:
        required = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", False, f"{_PACKAGE} itself is not installed", "python -m pip install -e .", True)
        return
    for text in required:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = None
        wanted = pinned.get(_normal(requirement.name))
        install = (
            f"python -m pip install '{requirement.name}=={wanted}'" if wanted else f"python -m pip install '{text}'"
        )
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            yield Finding(
                requirement.name, False, f"{found or 'missing'}, needs {requirement.specifier}", install, True
            )
        elif wanted is not None and found.split("+")[0] != wanted:
            yield Finding(requirement.name, False, f"{found}, pinned is {wanted}: figures may differ", install)
        else:
            yield Finding(requirement.name, True, found)


def _lock() -> dict[str, str]:
    """Pinned versions by name, from docker/requirements-*.txt of a checkout; an installed package carries none."""
    texts = [path.read_text(encoding="utf-8") for path in (locations.root() / "docker").glob("requirements*.txt")]
    return {
        _normal(name): version
        for text in texts
        for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE)
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def gpu(needed_bytes: int) -> Iterator[Finding]:
    """Driver by nvidia-smi, CUDA by torch, and memory by either."""
    needed = needed_bytes > 0
    why = "" if needed else "; an organism needs none"
    rows, words = _nvidia_smi()
    yield Finding(
        "driver",
        bool(rows) or (None if not needed else False),
        ", ".join(sorted({f"NVIDIA {driver}" for _, driver, _, _ in rows})) if rows else words + why,
        "install NVIDIA's driver, or run the container with --gpus all" if not rows and needed else "",
        needed,
    )
    cuda = torch.version.cuda
    usable = torch.cuda.is_available()
    seen = f"torch {torch.__version__}: " + (f"CUDA {cuda}" if cuda else "a build without CUDA")
    seen += "" if usable else ", no GPU can be used" + why
    fix = (
        ""
        if usable or not needed
        else (
            "the driver is older than this CUDA, or hides the GPU: update it, or unset CUDA_VISIBLE_DEVICES"
            if cuda
            else "install the CUDA build of torch that the lock names"
        )
    )
    yield Finding("cuda", usable or (None if not needed else False), seen, fix, needed)
    for name, _, total, free in rows:
        enough = free >= needed_bytes + CONTEXT_BYTES
        yield Finding(
            "gpu memory",
            enough,
            f"{name}: {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
            + (f", the weights alone take {needed_bytes / 1e9:.1f}" if needed else ""),
            ""
            if enough
            else "end what else holds its memory (nvidia-smi lists it), or take a larger card; "
            "harness plan says what each phase needs",
            needed and len(rows) == 1,
        )


def _nvidia_smi() -> tuple[list[tuple[str, str, int, int]], str]:
    """((name, driver, total bytes, free bytes) of each GPU, why there are none)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], "no nvidia-smi here"
    query = [program, "--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi cannot be run: {type(error).__name__}"
    if ran.returncode != 0:
        first = (ran.stdout + ran.stderr).strip().splitlines()
        return [], f"nvidia-smi fails: {first[0] if first else f'exit code {ran.returncode}'}"
    rows = []
    for line in ran.stdout.strip().splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and parts[2].isdigit() and parts[3].isdigit():
            rows.append((parts[0], parts[1], int(parts[2]) * 2**20, int(parts[3]) * 2**20))
    return rows, "nvidia-smi lists no GPU"


def disk(out: Path, needed: int) -> Finding:
    free = inventory.free_bytes(out)
    good = free >= needed
    return Finding(
        "disk",
        good,
        f"{free / 1e9:.0f} GB free, {needed / 1e9:.0f} needed at least",
        "" if good else "make room, or set HF_HOME and --out to a larger disk",
        needed=True,
    )
