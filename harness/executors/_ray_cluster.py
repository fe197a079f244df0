"""The one module that imports Ray: a cluster, what fits on its nodes, and calls of actors."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from harness.errors import UserError
from harness.executors._ray_worker import Here, Outcome, Worker
from harness.interruption import ENDING
from harness.runs.processes import MOST_PROCESSES, usable_cores

#: What begins the names of variables that a run depends on, and those that nodes of one run need alike.
PASSED_ON = ("HARNESS_", "HF_", "TRANSFORMERS_", "CUBLAS_")
ALIKE = ("PYTHONPATH", "OMP_NUM_THREADS", "PYTHONHASHSEED")
#: What a variable that holds a secret is called.
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")
#: So long a node is waited for that does not answer.
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Share:
    """What an actor takes of a node. threads: that it computes with."""

    cpus: int
    gpus: int
    threads: int


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._worker = ray.remote(Worker)
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.RaySystemError,
        )

    def share(self, gpus: int, small: bool) -> Share:
        """What an actor needs: so many GPUs where the cluster has any, one core for a small model, else a whole node.

        small: all models are, so that threads gain nothing.
        """
        nodes = self._nodes()
        if any(node.get("GPU", 0) for node in nodes):
            return Share(1, gpus, max(1, int(min(node.get("CPU", 1) for node in nodes if node.get("GPU", 0)))))
        cores = 1 if small else max(1, int(min(node.get("CPU", 1) for node in nodes)))
        return Share(cores, 0, cores)

    def room(self, share: Share) -> int:
        """How many actors the nodes have room for. Raises UserError for none."""
        found = sum(_fitting(node, share) for node in self._nodes())
        if not found:
            raise UserError(
                f"no node of the cluster has {share.cpus} cores and {share.gpus} GPUs; expected one: `ray status` "
                "shows what there is"
            )
        return found

    def actor(self, share: Share, here: Here) -> Any:
        """A new actor; where there is no room for it, it waits."""
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return self._worker.options(**options).remote(here)

    def ended(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Those calls that have ended; the first of them is waited for so long."""
        if not calls:
            return []
        first, _ = self._ray.wait(list(calls), num_returns=1, timeout=seconds)
        done, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return [call for call in calls if call in first or call in done]

    def outcome(self, call: Any) -> Outcome:
        """What a call gave; that it may be tried again where the actor or its node is gone."""
        try:
            found: Outcome = self._ray.get(call)
            return found
        except self._lost as error:
            said = (str(error).strip().splitlines() or [""])[0]
            return Outcome(error=error, tried_again=True, words=f"{type(error).__name__}: {said}"[:200])

    def kill(self, actor: Any) -> None:
        """End an actor at once."""
        with suppress(Exception):  # it may be gone, and so may the cluster
            self._ray.kill(actor)

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]


def _fitting(node: dict[str, float], share: Share) -> int:
    by_cpu = int(node.get("CPU", 0) // share.cpus)
    return min(by_cpu, int(node.get("GPU", 0) // share.gpus)) if share.gpus else by_cpu


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A cluster, for as long as this lasts. Raises UserError where Ray is not installed, or none answers."""
    if find_spec("ray") is None:
        raise UserError("Ray is not installed; --executor ray needs it: pip install 'brittleness-harness[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves by accident
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # it would stand within JSON on stdout
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    named = address or os.environ.get("RAY_ADDRESS")
    own = not named
    if named:
        _refuse_silent(named)
    settings: dict[str, Any] = {"address": "local" if own else address}
    if own:
        settings |= {"num_cpus": min(usable_cores(), MOST_PROCESSES) if _no_gpu() else usable_cores()}
        settings |= {"include_dashboard": False}
    handlers = {each: signal.getsignal(each) for each in ENDING}
    try:
        ray.init(
            **settings,
            runtime_env={"env_vars": _passed_on()},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"no Ray cluster answers at {named}: {said}") from None
    finally:
        for each, handler in handlers.items():  # Ray's own would end without a word
            signal.signal(each, handler)
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Ray itself tries for minutes. Raises UserError for what is no address, and where nothing listens."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"{address!r} is no address of a Ray cluster; expected auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start one with `ray start --head`, or "
            "leave --address out for one of this machine"
        ) from None


def _no_gpu() -> bool:
    import torch

    return not torch.cuda.is_available()


def _passed_on() -> dict[str, str]:
    """Variables that decide what is read and computed, but no secret: Ray logs and shows what it is given.

    A node has its own token for the hub, and its own key of a judge.
    """
    chosen = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON) or name in ALIKE}
    return {name: value for name, value in chosen.items() if not _SECRET.search(name)}
