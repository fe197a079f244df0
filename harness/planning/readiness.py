"""`harness doctor`: is everything here that a variant needs? Each finding with its fix. No token is ever shown."""

from __future__ import annotations

import os
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
from httpx import HTTPError
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from packaging.requirements import Requirement

from harness import plugins
from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.executors.local import LARGEST_SHARED_BYTES
from harness.planning import inventory
from harness.planning.memory import CONTEXT_BYTES, ITEMSIZES
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

_PACKAGE = "brittleness-harness"
#: What else a run writes: scores, completions, reports.
_SPARE_DISK_BYTES = 2_000_000_000


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


def findings(variant: ModelVariant | None, variant_file: Path | None, out: Path) -> Iterator[Finding]:
    """Everything that is looked at: the machine, and what the variant needs of it. Without a variant, all shipped
    gated models are looked up, and nothing but the packages is needed."""
    yield _python()
    yield from _packages()
    yield from _gpu(_needed_gpu_bytes(variant, variant_file))
    offline = _offline()
    yield Finding(
        "network",
        None if offline else True,
        "HF_HUB_OFFLINE is set: nothing is looked up or fetched" if offline else "may be used",
        "unset HF_HUB_OFFLINE to fetch weights and data" if offline else "",
    )
    if variant is not None and variant_file is not None:
        yield from _of_variant(variant, variant_file, offline, out)
        return
    yield _disk(out, _SPARE_DISK_BYTES)
    variants = [(load_yaml_model(path, ModelVariant), path) for path in locations.variant_paths()]
    gated = [(each, path) for each, path in variants if each.source.repository is not None]
    if gated:
        yield _token(False)
    for each, path in gated:
        yield from _weights(each, path, offline, needed=False)
    for name in plugins.names("engines"):
        yield _engine(name, None, needed=False)


def _of_variant(variant: ModelVariant, variant_file: Path, offline: bool, out: Path) -> Iterator[Finding]:
    yield _engine(variant.engine, variant, needed=True)
    missing = bool(inventory.missing_weights(variant, variant_file))
    size = _weight_bytes(variant, variant_file) or 0
    yield _disk(out, _SPARE_DISK_BYTES + (size if missing else 0))
    if missing and variant.source.repository is not None:
        yield _token(True)
    yield from _weights(variant, variant_file, offline, needed=True)
    for name in variant.datasets:
        yield _dataset(variant, variant_file, name)


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("python", good, platform.python_version(), "" if good else "use Python 3.11 or newer", needed=True)


def _packages() -> Iterator[Finding]:
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


def _needed_gpu_bytes(variant: ModelVariant | None, variant_file: Path | None) -> int:
    """Memory that the weights take on a GPU; 0 for a model that is measured on a CPU, or where none is asked for."""
    if variant is None or variant_file is None:
        return 0
    size = _weight_bytes(variant, variant_file) or 0
    return size if size > LARGEST_SHARED_BYTES else 0


def _weight_bytes(variant: ModelVariant, variant_file: Path) -> int | None:
    try:
        return inventory.model_sizes(variant, variant_file).shape.parameters * ITEMSIZES[variant.dtype]
    except UserError:
        return None


def _gpu(needed_bytes: int) -> Iterator[Finding]:
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


def _disk(out: Path, needed: int) -> Finding:
    free = inventory.free_bytes(out)
    good = free >= needed
    return Finding(
        "disk",
        good,
        f"{free / 1e9:.0f} GB free, {needed / 1e9:.0f} needed at least",
        "" if good else "make room, or set HF_HOME and --out to a larger disk",
        needed=True,
    )


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _token(needed: bool) -> Finding:
    found = get_token() is not None
    return Finding(
        "token",
        found,
        "there is one (not shown)" if found else "none",
        "" if found else "hf auth login, or set HF_TOKEN",
        needed,
    )


def _weights(variant: ModelVariant, variant_file: Path, offline: bool, needed: bool) -> Iterator[Finding]:
    """Whether they are here; where they are not and lie on the hub, whether they may be fetched."""
    missing = inventory.missing_weights(variant, variant_file)
    subject = f"weights of {variant.name}"
    yield Finding(
        subject,
        not missing,
        "here" if not missing else f"missing: {', '.join(missing[:3])}",
        inventory.how_to_get_weights(variant, variant_file) if missing else "",
        needed,
    )
    if missing and variant.source.repository is not None:
        yield _access(variant.source.repository, offline)


def _access(repository: str, offline: bool) -> Finding:
    """Whether the token opens a gated repository. The hub's own words are not shown: they may hold an address."""
    subject, page = f"access to {repository}", f"https://huggingface.co/{repository}"
    if offline:
        return Finding(subject, None, "did not look: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE to look")
    try:
        HfApi().auth_check(repository)
    except GatedRepoError:
        return Finding(
            subject,
            False,
            "refused: the licence is not accepted, or not yet granted",
            f"accept it at {page} with the account of your token",
        )
    except RepositoryNotFoundError:
        return Finding(
            subject, False, "refused: no valid token, or no such repository", f"hf auth login, and look at {page}"
        )
    except OfflineModeIsEnabled:
        return Finding(subject, None, "did not look: offline", "unset HF_HUB_OFFLINE to look")
    except (HfHubHTTPError, HTTPError, OSError) as error:
        return Finding(
            subject, None, f"the hub does not answer ({type(error).__name__})", "look at the network and try again"
        )
    return Finding(subject, True, "granted")


def _dataset(variant: ModelVariant, variant_file: Path, name: str) -> Finding:
    try:
        dataset_path(variant, variant_file, name)
    except UserError as error:
        return Finding(f"data {name}", False, "missing or wrong", str(error), needed=True)
    return Finding(f"data {name}", True, "here", needed=True)


def _engine(name: str, variant: ModelVariant | None, needed: bool) -> Finding:
    """What the engine itself says against running here. A problem is told as `what is wrong; what to do`."""
    try:
        problems = plugins.load("engines", name).problems(variant)
    except UserError as error:
        return Finding(f"engine {name}", False, str(error), "correct `engine` in the variant", needed)
    if problems:
        words, _, fix = problems[0].partition("; ")
        return Finding(f"engine {name}", False, words, fix, needed)
    return Finding(f"engine {name}", True, "can run here", needed=needed)
