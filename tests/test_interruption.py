"""Ctrl-C, SIGTERM and SIGHUP, sent to real processes: code, words, nobody left, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import interruption
from harness.storage import found_below
from tests.environment import environment
from tests.process_groups import members, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes of a group are read from /proc")
SPEC = """
id: stopped
title: Perplexity of an organism
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - {id: random, title: Random weights, region: {select: top, method: random}, grid: {fraction: [0.01, 0.02, 0.03]}}
evaluations: [{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}]
golden_values: none
"""
ENDING = pytest.mark.parametrize("signum", interruption.ENDING, ids=lambda signum: signum.name)


@pytest.fixture
def start(tmp_path):
    """Starts the small benchmark in a group of processes of its own; what is left of it afterwards is killed."""
    (tmp_path / "stopped.yaml").write_text(SPEC)
    started = []

    def run(program=("-m", "harness"), before=None):
        process = subprocess.Popen(
            [sys.executable, *program, "run", "stopped.yaml", "--model", "tiny-llama2-chat", "--out", "runs"],
            cwd=tmp_path,
            env=environment(OMP_NUM_THREADS="1"),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def catches(process, signum):
    """Whether the process has a handler of its own for the signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signum - 1) & 1)


def finished(folder):
    return [path for path in found_below(folder / "runs", "*.json") if path.parent.name == "cells"]


def ended_in_words(process, signum):
    """What was said, once the first process and a second later everybody has ended."""
    code = process.wait(timeout=30)
    ended = time.monotonic()
    wait_for(lambda: not members(process.pid), seconds=5)
    assert time.monotonic() - ended < 1
    said = process.stderr.read()
    assert code == 128 + signum, said
    assert said.strip().splitlines()[-1] == interruption.words(signum)
    assert "Traceback" not in said
    return said


@ENDING
def test_during_imports(start, signum):
    process = start()
    wait_for(lambda: catches(process, signal.SIGHUP) and catches(process, signal.SIGTERM))
    process.send_signal(signum)
    assert ended_in_words(process, signum).count("\n") == 1


@ENDING
def test_sent_to_the_group_while_workers_start(start, signum):
    process = start()
    wait_for(lambda: any(b"spawn_main" in command_of(pid) for pid in members(process.pid)))
    os.killpg(process.pid, signum)
    ended_in_words(process, signum)


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_while_measuring_and_the_same_command_goes_on_after_the_last_finished_cell(start, tmp_path):
    process = start()
    wait_for(lambda: finished(tmp_path), seconds=200)
    os.killpg(process.pid, signal.SIGHUP)
    ended_in_words(process, signal.SIGHUP)
    kept = {path: path.stat().st_mtime_ns for path in finished(tmp_path)}
    assert 1 <= len(kept) < 4
    process = start()
    wait_for(lambda: len(finished(tmp_path)) > len(kept), seconds=200)
    process.send_signal(signal.SIGTERM)
    ended_in_words(process, signal.SIGTERM)
    said, problems = start().communicate(timeout=200)
    assert "PASSED" in said, problems
    (record,) = tmp_path.glob("runs/*/*/*/record.json")
    assert json.loads(record.read_text())["provenance"]["resumed"] > len(kept)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(start):
    """As under nohup."""
    process = start(before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(lambda: catches(process, signal.SIGTERM))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    ended_in_words(process, signal.SIGTERM)


HELD = """
import os, signal
from harness import interruption
with interruption.ends_in_words():
    try:
        with interruption.held():
            os.kill(os.getpid(), signal.SIGTERM)
            print("whole", flush=True)
    finally:
        print("cleared", flush=True)
    print("not reached", flush=True)
"""
DEAF = """
import os, signal, time
from harness import interruption
with interruption.ends_in_words():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        kept = error
        os.kill(os.getpid(), signal.SIGHUP)  # within the second that clearing up may take
        print("heard", flush=True)
    time.sleep(interruption.GRACE_SECONDS + 0.1)
    os.kill(os.getpid(), signal.SIGHUP)
    print("not reached", flush=True)
"""


#: As libraries do that try an import, and Python in what it calls as an object goes: what it raised is gone.
SWALLOWED = """
import os, signal, time
from harness import interruption
with interruption.ends_in_words():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except:
        print("swallowed", flush=True)
    for _ in range(200):
        time.sleep(0.05)
    print("not reached", flush=True)
"""
LATE = """
import os, signal, sys, threading, time
from harness import interruption
with interruption.ends_in_words():
    {before}
    print("all that there is")
    sys.exit(3)
"""
#: Sent again and again: one that comes as the main thread is about to wait is heard behind that.
WHILE_THREADS_END = """
    def signals():
        threading.main_thread().join()
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
    threading.Thread(target=signals).start()"""
AT_THE_LAST = """
    class Last:
        def __del__(self, kill=os.kill, pid=os.getpid(), signum=signal.SIGTERM):
            kill(pid, signum)
    sys.last = Last()"""
#: As pydantic does where a signal comes while a schema is built: what Python raised is a cause alone.
WRAPPED = """
import os, signal
from harness import interruption
with interruption.ends_in_words():
    {command}
    def wraps():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            print("wrapped", flush=True)
            raise ValueError("Error building a validator") from error
    wraps()
"""
IN_A_COMMAND = "from harness.exit_codes import with_exit_codes\n    @with_exit_codes"


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        (HELD, 143, "whole\ncleared\n"),
        (DEAF, 129, "heard\n"),
        (SWALLOWED, 143, "swallowed\n"),
        (WRAPPED.format(command=""), 143, "wrapped\n"),
        (WRAPPED.format(command=IN_A_COMMAND), 143, "wrapped\n"),
    ],
    ids=["held", "deaf", "swallowed", "wrapped", "wrapped in a command"],
)
def test_what_must_be_whole_is_ended_after_it_and_what_swallows_a_signal_by_the_next(program, code, said):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, said)
    assert done.stderr.strip() == interruption.words(code - 128)


#: What torch and its like hold takes seconds to free.
HEAVY = """
import os, signal, sys, time
from harness import interruption
with interruption.ends_in_words():
    class Last:
        def __del__(self, sleep=time.sleep):
            sleep(5)
    sys.last = Last()
    print("all that there is")
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_what_a_signal_ends_does_not_wait_until_all_is_taken_apart():
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], env=environment(), capture_output=True, text=True, check=False, timeout=4
    )
    assert (done.returncode, done.stdout) == (143, "all that there is\n")
    assert done.stderr.strip() == interruption.words(signal.SIGTERM)


@pytest.mark.parametrize("before", [WHILE_THREADS_END, AT_THE_LAST], ids=["threads", "the last objects"])
def test_a_command_that_is_done_ends_as_it_did_whatever_comes_then(before):
    done = subprocess.run(
        [sys.executable, "-c", LATE.format(before=before)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=8,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "all that there is\n", "")
