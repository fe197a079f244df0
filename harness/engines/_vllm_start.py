"""Starting vLLM in this process, beside the model that transformers holds."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.errors import UserError
from harness.models.loading import LoadedModel

#: Keys and values on a CPU; and the tokens of a block that the prefix cache keeps or does not keep.
CACHE_BYTES_ON_CPU = 512 * 1024**2
BLOCK_TOKENS_ON_CPU = 32
#: What is left to transformers while vLLM is awake: of each GPU, beside the model that lies there.
SHARE_LEFT_TO_TRANSFORMERS = 0.1
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process: weights need not cross to another one
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as many threads as the process has: figures depend on their number
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # by one: a text of the model's whole context is scored, see `start`
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def start(loaded: LoadedModel, context: int) -> Any:
    """vLLM's LLM with weights that mean nothing yet. Of the model it is given the configuration, in a file.

    Its context is one token longer than the model's: vLLM scores a text as a prompt, and a prompt needs room for an
    answer of one token, which is never read again. Raises UserError where vLLM does not start, and RuntimeError where
    it runs already: it keeps its groups of workers for the whole process, and two engines would end each other's.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from vllm.distributed.parallel_state import model_parallel_is_initialized

    from harness.engines import _vllm_worker as worker

    if model_parallel_is_initialized():
        raise RuntimeError("vLLM runs in this process already; close that engine first")
    with tempfile.TemporaryDirectory() as folder, _as_it_was(), warnings.catch_warnings(action="ignore"):
        loaded.model.config.save_pretrained(folder)
        from vllm import LLM

        try:
            return LLM(
                model=folder,
                load_format="dummy",
                skip_tokenizer_init=True,
                generation_config="vllm",
                dtype=str(loaded.model.dtype).removeprefix("torch."),
                max_model_len=context + 1,
                tensor_parallel_size=loaded.tensor_parallel_size,
                disable_log_stats=True,
                worker_extension_cls=f"{worker.__name__}.{worker.WeightAccess.__name__}",
                weight_transfer_config={"backend": worker.BACKEND},
                logits_processors=[worker.SeededChoice],
                async_scheduling=False,
                **_device_settings(loaded),
            )
        except ValueError as error:
            raise UserError(f"vLLM does not start: {str(error).strip().splitlines()[0]}") from error


def _device_settings(loaded: LoadedModel) -> dict[str, Any]:
    if loaded.device.type != "cuda":
        return {"enforce_eager": True, "kv_cache_memory_bytes": CACHE_BYTES_ON_CPU, "block_size": BLOCK_TOKENS_ON_CPU}
    return {"enable_sleep_mode": True, "gpu_memory_utilization": _free_share(loaded.tensor_parallel_size)}


def _free_share(devices: int) -> float:
    """The share of each GPU's memory that vLLM may have for weights, activations and cache."""
    free = min(free / total for free, total in map(torch.cuda.mem_get_info, range(devices)))
    share = math.floor(100 * (free - SHARE_LEFT_TO_TRANSFORMERS)) / 100
    if share <= 0:
        raise UserError(f"{free:.0%} of the GPU's memory is free beside the model; vLLM needs more for a copy of it")
    return share


@contextmanager
def _as_it_was() -> Iterator[None]:
    """vLLM seeds torch's random numbers and, on a CPU, forbids to set the number of threads: not beyond its start."""
    setter, threads = torch.set_num_threads, torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            torch.set_num_threads = setter
            torch.set_num_threads(threads)
