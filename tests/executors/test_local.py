"""Where cells are measured: how many processes, with one thread each."""

from dataclasses import replace

import pytest
import torch

from harness.executors import local
from harness.executors.local import InProcess, executor
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


@pytest.fixture(scope="module")
def bound():
    path = locations.find_variant("tiny-llama2-chat")
    spec = load_yaml_model(locations.find_benchmark("figure-2a"), BenchmarkSpec)
    return bind(spec, load_yaml_model(path, ModelVariant), path)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_single_cell_has_one_thread_as_cells_in_a_pool_have_and_the_threads_come_back(
    bound, tmp_path, three_threads, monkeypatch
):
    monkeypatch.setattr(local, "usable_cores", lambda: 64)
    with executor([replace(bound, cells=bound.cells[:1])], tmp_path) as alone:
        assert isinstance(alone, InProcess)
        assert (alone.threads, torch.get_num_threads()) == (1, 1)
    assert torch.get_num_threads() == 3
    for cells, processes in ((2, 2), (len(bound.cells), 8)):
        with executor([replace(bound, cells=bound.cells[:cells])], tmp_path) as pool:
            assert (pool.processes, pool.threads) == (processes, 1)


def test_a_large_model_keeps_all_threads(bound, tmp_path, three_threads, monkeypatch):
    monkeypatch.setattr(local, "LARGEST_SHARED_BYTES", 1)
    with executor([bound], tmp_path) as chosen:
        assert isinstance(chosen, InProcess)
        assert chosen.threads == 3
