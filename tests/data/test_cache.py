"""lock.json and the files beside it change together, whoever else changes them."""

import threading

import pytest

from harness.data.cache import VARIABLE, adopt, read_lock, store
from harness.errors import UserError
from harness.storage import locked


def test_a_file_is_written_only_by_who_may_also_record_it(tmp_path, monkeypatch):
    """Else of two that write one file, the one that wrote first may record last, and the file is not what it says."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    writing = threading.Thread(target=store, args=("here/file.txt", b"content"))
    with locked(tmp_path / ".guard"):
        writing.start()
        writing.join(timeout=1)
        assert not (tmp_path / "here" / "file.txt").exists()
    writing.join()
    assert (tmp_path / "here" / "file.txt").read_bytes() == b"content"
    assert list(read_lock().files) == ["here/file.txt"]


def test_of_two_first_downloads_of_one_file_the_second_may_not_hold_something_else(tmp_path, monkeypatch):
    """Both began when nothing was recorded, so that neither was held against the other."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    downloads = [tmp_path / name for name in ("first", "second", "changed")]
    for path, content in zip(downloads, (b"one", b"one", b"two"), strict=True):
        path.write_bytes(content)
    first = adopt("pinned/file.txt", downloads[0])
    assert adopt("pinned/file.txt", downloads[1]) == first
    with pytest.raises(UserError, match=r"file\.txt: another command has downloaded it meanwhile"):
        adopt("pinned/file.txt", downloads[2])
    assert (tmp_path / "data" / "pinned" / "file.txt").read_bytes() == b"one"
    assert read_lock().files == {"pinned/file.txt": first}
