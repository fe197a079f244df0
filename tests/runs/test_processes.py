"""Workers of the one pool: what is said when one dies, what is kept, and that none outlives the first process."""

import os
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from harness.errors import InvalidRun, MachineError, UserError
from harness.exit_codes import with_exit_codes
from harness.interruption import words
from harness.runs import processes
from harness.runs.processes import WorkerEnded, exit_words, pool
from tests.environment import ROOT, environment
from tests.process_groups import members, wait_for

#: A program whose workers import a module that takes long, as torch does, and never come to their work.
SLOW = """
import pathlib, sys
from harness.runs.processes import pool
if __name__ == "__main__":
    with pool(2, "slow_import:begin") as workers:
        futures = [workers.submit(abs, number) for number in (-1, -2)]
        print("started", flush=True)
        [workers.result(future) for future in futures]
"""


def test_cores_are_counted_where_the_system_does_not_say_which_are_allowed(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert processes.usable_cores() == os.cpu_count()


def test_a_script_that_starts_workers_is_not_run_again_by_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from harness.runs.processes import pool\n"
        "print('once', flush=True)\n"
        "with pool(2) as workers:\n"
        "    print([workers.result(each) for each in [workers.submit(abs, -1), workers.submit(abs, -2)]])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment(), check=False)
    assert (done.stdout, done.stderr) == ("once\n[1, 2]\n", "")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ((os._exit, 3), r"exit code 3; what it wrote stands above"),
        ((signal.raise_signal, 9), r"signal 9, SIGKILL, which is also how the system ends one for want of memory"),
        ((signal.raise_signal, 15), r"signal 15, SIGTERM\)"),
    ],
)
def test_a_worker_that_dies_is_told_by_its_exit_code(end, words):
    with pool(2) as workers, pytest.raises(MachineError, match=words) as caught:
        workers.result(workers.submit(*end))
    assert caught.value.exit_code == 5


def test_of_several_exit_codes_the_one_that_is_no_consequence_is_told():
    assert "exit code 3" in exit_words([-15, None, 3, -15])
    assert exit_words([0, None]) == ""


def test_what_was_done_before_a_death_is_given_back_before_it_is_told():
    done = []
    with pool(1) as workers:
        futures = [workers.submit(abs, -1), workers.submit(abs, -2), workers.submit(os._exit, 7)]
        results = workers.results(futures)
        with pytest.raises(WorkerEnded, match="exit code 7"):
            while True:
                done.append(next(results)[1])
    assert sorted(done) == [1, 2]


def test_an_error_of_the_work_is_the_works_own():
    with pytest.raises(ZeroDivisionError), pool(1) as workers:
        workers.result(workers.submit(divmod, 1, 0))


class Odd(Exception):
    """An error that Python cannot copy: it is made of two values, and keeps one."""

    def __init__(self, what, _where):
        super().__init__(what)


class OddInput(Odd, UserError):
    pass


def raises(kind, *arguments):
    raise kind(*arguments)


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ((Odd, "weights", "here"), RuntimeError, "^Odd: weights$"),
        ((OddInput, "weights", "here"), UserError, "^weights$"),
        ((SystemExit, 0), RuntimeError, "^SystemExit: 0$"),
        ((InvalidRun, "engine/logits", "another logit"), InvalidRun, "^another logit$"),
    ],
)
def test_an_error_that_cannot_be_copied_ends_no_worker_and_no_first_process(raised, kind, words):
    with pytest.raises(kind, match=words) as caught, pool(1) as workers:
        workers.result(workers.submit(raises, *raised))
    assert not isinstance(caught.value, InvalidRun) or caught.value.by == "engine/logits"


def splits_without_end():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    tokenizer.encode("a" * 40 + "b")


def test_a_tokenizer_whose_pattern_backtracks_without_end_is_bad_input_in_a_worker_and_in_the_first_process():
    def command():
        with pool(1) as workers:
            workers.result(workers.submit(splits_without_end))

    for called in (command, splits_without_end):
        began = time.monotonic()
        result = CliRunner().invoke(click.command()(with_exit_codes(called)))
        assert result.exit_code == 2
        assert "retry-limit-in-match over" in result.output and "tokenizer.json" in result.output
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_reaches_the_whole_group_is_the_first_process_to_decide(signum):
    with pool(1) as workers:
        worker = workers.result(workers.submit(os.getpid))
        os.kill(worker, signum)
        assert workers.result(workers.submit(os.getpid)) == worker


@pytest.fixture
def importing(tmp_path):
    """A process in a group of its own, both workers of which are at an import that lasts a minute."""
    (tmp_path / "slow_import.py").write_text(
        "import ctypes, os, pathlib\npathlib.Path(f'importing-{os.getpid()}').touch()\n"
        "ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock, as while a library is loaded\n"
    )
    (tmp_path / "program.py").write_text(SLOW)
    program = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment(tmp_path, ROOT),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: len(list(tmp_path.glob("importing-*"))) == 2)
    yield program
    for pid in members(program.pid):
        os.kill(pid, signal.SIGKILL)
    program.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="processes of a group are read from /proc")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_still_importing_ends_with_the_first_process(importing, signum):
    assert len(members(importing.pid)) >= 3
    importing.send_signal(signum)
    importing.wait()
    ended = time.monotonic()
    wait_for(lambda: not members(importing.pid))
    assert time.monotonic() - ended < 1


#: A program whose worker holds a semaphore of its own, as that of a progress bar, when the program is told to end.
HOLDS = """
import multiprocessing, os, signal
from harness.interruption import ends_in_words
from harness.runs.processes import pool
def hold():
    global kept
    kept = multiprocessing.get_context("spawn").RLock()
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
if __name__ == "__main__":
    import holds  # workers are handed functions of modules, not of a script
    with ends_in_words(), pool(1) as workers:
        workers.result(workers.submit(holds.hold))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_nothing_is_said_of_what_a_killed_worker_held(tmp_path):
    (tmp_path / "holds.py").write_text(HOLDS)
    ended = subprocess.run(
        [sys.executable, "holds.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.strip()) == (128 + signal.SIGTERM, words(signal.SIGTERM))
