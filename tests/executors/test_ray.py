"""A real cluster on this machine: several raylets, actors that die, nodes that go, and nodes that do not fit."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import MachineError, UserError
from tests.runs.conftest import Silent
from tests.runs.test_pipeline import figures

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def gone_within(seconds):
    """Whether no actor is left: a cluster ends them in its own time."""
    deadline = time.monotonic() + seconds
    while actors() and time.monotonic() < deadline:
        time.sleep(0.2)
    return not actors()


def actors():
    """Process ids of those that measure."""
    told = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in told.splitlines() if "ray::Worker" in line]


class _Killing(Silent):
    """Kills an actor behind the first cell, and takes a whole node away behind the second."""

    def __init__(self, cluster):
        self._cluster, self._cells = cluster, 0

    def finished_cell(self, benchmark, cell, how):
        self._cells += 1
        if self._cells == 1:
            os.kill(actors()[0], signal.SIGKILL)
        if self._cells == 2:
            gone = next(iter(self._cluster.worker_nodes))
            self._cluster.remove_node(gone, allow_graceful=False)
            self._cluster.add_node(num_cpus=1)


def test_figures_are_those_of_one_process_though_actors_and_nodes_die(cluster, bound, finished, tmp_path):
    from harness.executors.base import run_all

    options = {"address": cluster.address}
    ((record, _),) = run_all([bound], tmp_path, lambda b: "c", _Killing(cluster), "ray", options)
    assert figures(record) == figures(finished[0])
    assert record.verdict == finished[0].verdict
    assert record.provenance.processes == 2
    assert not list(tmp_path.glob(".seen-by-*"))
    assert gone_within(30)


@pytest.fixture
def crew(cluster, bound, tmp_path):
    from harness.executors.ray import executor

    with executor([bound], tmp_path, cluster.address) as crew:
        yield crew


def test_a_node_that_does_not_fit_is_told_by_name_before_anything_is_measured(crew):
    about, hand = crew._first, crew._hands[0]
    with pytest.raises(UserError, match=f"node {about.node} does not see the folder of --out"):
        crew._admitted(replace(about, sees_the_run=False), hand)
    with pytest.raises(UserError, match=f"node {about.node} has harness .* of another source"):
        crew._admitted(replace(about, source_sha256="0" * 64), hand)


def test_another_kind_of_machine_marks_its_cells_or_is_not_used(crew):
    about, hand = crew._first, crew._hands[0]
    other = replace(about, hardware=about.hardware | {"accelerator": "NVIDIA H200"})
    assert crew._admitted(other, hand) is other
    assert (crew._elsewhere(about), crew._elsewhere(other)) == (None, "NVIDIA H200")
    before = crew.processes
    crew.same_accelerator = True
    assert crew._admitted(other, hand) is None
    assert crew.processes == before - 1


def test_work_that_ends_every_actor_is_given_up_in_words(crew, bound):
    """Each attempt kills its actor, as memory that gives out would."""
    from harness.executors import ray as executor

    begun = []
    right = crew._outcome

    def killed(call, hand):
        begun.append(hand)
        crew.cluster.kill(hand.actor)
        return right(call, hand)

    crew._outcome = killed
    with pytest.raises(MachineError, match="calibrate was begun 3 times on the cluster"):
        crew.calibrate(bound)
    assert len(begun) == executor.ATTEMPTS


@pytest.mark.parametrize("option", [["--address", "auto"], ["--same-accelerator"]])
def test_an_option_that_an_executor_does_not_take_is_refused(option, tmp_path):
    arguments = ["run", "figure-4a", "--model", "tiny-llama2-chat", "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(main, [*arguments, *option])
    assert result.exit_code == 2
    assert f"the executor local takes no {option[0]}" in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1: Connection refused"),
        ("nowhere", "'nowhere' is no address of a Ray cluster; expected auto, HOST:PORT"),
        ("ray://host:0", "is no address of a Ray cluster"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_at_once(address, says, tmp_path):
    arguments = ["run", "figure-4a", "--model", "tiny-llama2-chat", "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(main, [*arguments, "--executor", "ray", "--address", address])
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())


def test_no_secret_is_given_to_ray_which_logs_and_shows_it(monkeypatch):
    from harness.executors._ray_cluster import _passed_on

    for name in ("HF_TOKEN", "HARNESS_JUDGE_API_KEY", "HF_HUB_PASSWORD", "HARNESS_SECRET", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "hf_thisIsNoTokenOfAnyone")
    monkeypatch.setenv("HF_HOME", "/cache")
    passed = _passed_on()
    assert "hf_thisIsNoTokenOfAnyone" not in passed.values()
    assert passed["HF_HOME"] == "/cache"


def test_nothing_of_ray_is_imported_without_it():
    code = (
        "import sys, harness.executors.local, harness.executors.ray, harness.commands.benchmarks; "
        "print('ray' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "False"
