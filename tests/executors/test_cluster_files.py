"""How a cluster is started: the script for Slurm with a stand-in for srun, and the manifest for KubeRay."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cli import main
from harness.spec.result import RunRecord
from tests.runs.conftest import SMALL

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("ray")

CLUSTER = Path(__file__).parents[2] / "cluster"
#: What Slurm has on a node: it starts the command on that node, which is this machine under two names.
SLURM = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": "printf '%s\\n' 127.0.0.1 localhost\n",
    "harness": f'exec "{sys.executable}" -m harness "$@"\n',
    "ray": f'exec "{sys.executable}" -m ray.scripts.scripts "$@"\n',
}


def free_port():
    with socket.socket() as taken:
        taken.bind(("", 0))
        return taken.getsockname()[1]


@pytest.fixture
def slurm(tmp_path):
    """slurm(arguments): the script, in a folder of its own."""
    for name, body in SLURM.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "small.yaml").write_text(SMALL)
    surroundings = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "two",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_PORT": str(free_port()),
    }

    def started(*arguments):
        command = ["bash", str(CLUSTER / "slurm.sbatch"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=400)

    return started


def test_a_job_of_two_nodes_measures_and_ends_with_the_verdict(slurm, tmp_path):
    done = slurm("run", "small.yaml", "--model", "tiny-llama2-chat", "--out", "runs")
    assert done.returncode == 0, done.stderr[-2000:]
    record = RunRecord.model_validate_json(next(tmp_path.rglob("record.json")).read_text())
    assert record.provenance.processes == 2
    assert len(record.cells) == 4


def test_a_job_ends_with_the_exit_code_of_the_harness(slurm):
    done = slurm("run", "nonsense", "--model", "tiny-llama2-chat")
    assert done.returncode == 2
    assert "no benchmark is called 'nonsense'" in done.stderr


def test_a_job_without_a_command_says_how_it_is_used(slurm):
    done = slurm()
    assert (done.returncode, "usage: sbatch cluster/slurm.sbatch COMMAND" in done.stderr) == (2, True)


def test_the_manifest_asks_for_what_the_harness_takes():
    claim, job = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())
    assert (claim["kind"], job["kind"], job["apiVersion"]) == ("PersistentVolumeClaim", "RayJob", "ray.io/v1")
    program, command, *arguments = job["spec"]["entrypoint"].split()
    assert program == "harness"
    options = {option for each in main.commands[command].params for option in each.opts}
    assert {word for word in arguments if word.startswith("--")} <= options
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    specs = [pod["template"]["spec"] for pod in pods]
    out = arguments[arguments.index("--out") + 1]
    for spec in specs:
        (container,) = spec["containers"]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == [out]
        assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert [spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for spec in specs] == [None, 1]
