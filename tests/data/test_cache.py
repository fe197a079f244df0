"""lock.json and the files beside it change together, whoever else changes them."""

import threading

from harness.data.cache import VARIABLE, read_lock, store
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
