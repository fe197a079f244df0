"""What is written is there whole or not at all, and what a killed process held or left is nobody's."""

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from harness import storage
from harness.errors import UserError
from harness.models.tensor_files import read_tensors, write_tensors
from harness.runs.files import write_text


def killed_in(code):
    """A process that runs `code` up to the word that it prints there, and is killed then."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        yield
        process.send_signal(signal.SIGKILL)
    yield


def beside(path):
    return {each.name for each in path.parent.iterdir()} - {path.name}


def writing(target):
    return f"""
import pathlib, time
from harness import storage
with storage.whole_file(pathlib.Path({str(target)!r})) as written:
    written.write_text("half of i")
    print("there", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_what_it_left(tmp_path):
    target = tmp_path / "figures.json"
    storage.write_whole(target, "old")
    process = killed_in(writing(target))
    next(process)
    storage.write_whole(tmp_path / "other.json", "another process writes beside it")
    assert len(beside(target) - {"other.json"}) == 1, "what is being written was taken away from its writer"
    assert storage.leftovers(tmp_path) == []
    next(process)
    assert target.read_text() == "old"
    assert len(storage.leftovers(tmp_path)) == 1
    storage.write_whole(target, "new")
    assert (target.read_text(), beside(target)) == ("new", {"other.json"})


def test_leftovers_below_a_folder_are_found_and_cleared(tmp_path):
    process = killed_in(writing(tmp_path / "cells" / "one.json"))
    next(process), next(process)
    storage.clear_leftovers(tmp_path)
    assert len(storage.leftovers(tmp_path)) == 1
    storage.clear_leftovers(tmp_path, below=True)
    assert list((tmp_path / "cells").iterdir()) == []


def test_folders_that_vanish_while_one_looks_hold_nothing(tmp_path):
    """A run makes and removes folders all the time; its report and its resumption look in the same place."""
    kept = tmp_path / "variant" / "run" / "record.json"
    kept.parent.mkdir(parents=True)
    kept.touch()
    over = threading.Event()

    def write():
        while not over.is_set():
            with storage.scratch_folder(tmp_path) as scratch:
                (scratch / "record.json").touch()
            folder = tmp_path / "passing" / "deeper"
            folder.mkdir(parents=True)
            shutil.rmtree(folder.parent)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        looked = [storage.found_below(tmp_path, "record.json") for _ in range(300)]
        assert writer.is_alive()
    finally:
        over.set()
        writer.join()
    assert looked == [[kept]] * 300


def test_folders_of_runs_are_looked_into_in_one_way():
    """Path.rglob, and Path.glob through several folders, fail where another process removes one."""
    root = Path(storage.__file__).parent
    for package in ("api", "commands", "reports", "runs", "verification", "planning", "spec/manifest.py"):
        for path in [root / package, *(root / package).rglob("*.py")]:
            if path.is_file() and path.name != "provenance.py":  # which looks into installed packages
                text = path.read_text(encoding="utf-8")
                assert not re.search(r"\.rglob\(|\.glob\([^)]*\*/", text), path


def test_a_folder_without_a_writer_is_a_leftover_once_none_can_be_about_to_come(tmp_path):
    begun = tmp_path / ".0.partial"
    begun.mkdir()
    assert storage.leftovers(tmp_path) == []
    os.utime(begun, (time.time() - 6,) * 2)
    assert storage.leftovers(tmp_path) == [begun]


def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path):
    target = tmp_path / "figures.json"
    storage.write_whole(target, b"old")
    with pytest.raises(ZeroDivisionError), storage.whole_file(target) as written:
        written.write_text("new")
        raise ZeroDivisionError
    assert (target.read_text(), beside(target)) == ("old", set())


@pytest.mark.parametrize("there", [None, "old"], ids=["nothing", "a file"])
def test_of_many_that_saw_the_same_one_alone_writes(tmp_path, there):
    target = tmp_path / "golden.yaml"
    if there is not None:
        target.write_text(there)
    before, at_once, won, lost = storage.seen(target), threading.Barrier(8), [], []

    def write(number):
        try:
            with storage.whole_file(target, before=before) as written:
                written.write_text(str(number))
                at_once.wait()
            won.append(str(number))
        except storage.WrittenMeanwhile:
            lost.append(number)

    writers = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert (len(won), len(lost)) == (1, 7)
    assert ([target.read_text()], beside(target)) == (won, set())


def test_what_was_taken_away_or_written_again_is_no_longer_what_was_seen(tmp_path):
    target = tmp_path / "golden.yaml"
    for change in (target.unlink, lambda: target.write_text("same"), lambda: storage.write_whole(target, "same")):
        target.write_text("same")
        os.utime(target, (1, 1))
        before = storage.seen(target)
        change()
        with pytest.raises(storage.WrittenMeanwhile), storage.whole_file(target, before=before) as written:
            written.write_text("new")
        assert not target.exists() or target.read_text() == "same"
    assert beside(target) == set()


SECOND = """
import pathlib, sys, time
from harness import interruption, storage
with interruption.ends_in_words():
    print("there", flush=True)
    sys.stdin.readline()
    before = storage.seen(pathlib.Path({path!r}))
    with storage.whole_file(before.path, before=before) as written:
        written.write_text("second")
    print("written", flush=True)
"""


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_another_command_wrote_while_this_one_read_its_libraries_is_not_written_over(tmp_path, when):
    target = tmp_path / "golden.yaml"
    target.write_text("first")
    time.sleep(0.02)  # the clock of files goes in steps
    code = SECOND.format(path=str(target))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, text=True) as process:
        assert process.stdout.readline() == "there\n"
        time.sleep(0.02)
        if when == "meanwhile":
            storage.write_whole(target, "first")
        said, problems = process.communicate("\n")
    assert (said, "WrittenMeanwhile" in problems) == (("written\n", False) if when == "before" else ("", True))
    assert (target.read_text(), beside(target)) == ("second" if when == "before" else "first", set())


def test_no_file_takes_the_place_of_a_pipe_or_a_device(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        kind = path.lstat().st_mode
        with pytest.raises(UserError, match=f"{path.name}: cannot be written: a pipe or a device lies there"):
            write_text(path, "x")
        assert path.lstat().st_mode == kind


def test_a_file_for_its_owner_alone_is_so_from_its_first_byte_on(tmp_path):
    with storage.whole_file(tmp_path / "report.html", mode=0o600) as written:
        written.write_text("texts")
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o600


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_umask_says_who_may_read(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        storage.write_whole(tmp_path / "text", "x")
        write_tensors(tmp_path / "tensors", {"a": torch.ones(2)}, {})
        with storage.whole_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("text", "tensors")] == [mode, mode]
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) & 0o666 == mode
    assert read_tensors(tmp_path / "tensors")[0]["a"].tolist() == [1, 1]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "checkpoint"
    target.mkdir()
    with pytest.raises(ZeroDivisionError), storage.whole_folder(target) as filled:
        (filled / "weights").write_text("half")
        raise ZeroDivisionError
    assert (list(target.iterdir()), beside(target)) == ([], set())
    with storage.whole_folder(target) as filled:
        (filled / "weights").write_text("whole")
        assert list(target.iterdir()) == []
    assert ([path.name for path in target.iterdir()], beside(target)) == (["weights"], set())


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    lock = tmp_path / "locks" / "one"
    code = f"""
import pathlib, time
from harness import storage
with storage.locked(pathlib.Path({str(lock)!r})):
    print("there", flush=True)
    time.sleep(60)
"""
    process = killed_in(code)
    next(process)
    with pytest.raises(storage.IsLocked), storage.locked(lock, wait=False):
        pass
    next(process)
    with storage.locked(lock, wait=False), pytest.raises(storage.IsLocked), storage.locked(lock, wait=False):
        pass
    with storage.locked(lock, wait=False):
        pass


def test_one_place_writes_and_locks():
    """Another writer or lock of its own would leave what nobody finds."""
    paths = Path(storage.__file__).parent.rglob("*.py")
    sources = {path.name: path.read_text(encoding="utf-8") for path in paths if path.name != "storage.py"}
    assert len(sources) > 100
    for word in ("fcntl", "mkstemp", "NamedTemporaryFile", "FileLock"):
        assert [path for path, text in sources.items() if word in text] == [], word


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_of_two_that_write_a_new_file_one_wins(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "scores"
    with pytest.raises(FileExistsError), storage.whole_file(target, new=True) as slow:
        slow.write_text("slow")
        with storage.whole_file(target, new=True) as fast:
            fast.write_text("fast")
    assert target.read_text() == "fast"
    assert beside(target) == set()


def no_links(source, target):
    raise OSError(errno.EPERM, "this file system has none")


def test_what_was_cleared_is_named_once(tmp_path):
    process = killed_in(writing(tmp_path / "figures.json"))
    next(process)
    next(process)
    (left,) = storage.leftovers(tmp_path)
    storage.cleared()
    storage.write_whole(tmp_path / "figures.json", "new")
    assert storage.cleared() == [left]
    assert storage.cleared() == []
