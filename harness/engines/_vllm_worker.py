"""The part of engine `vllm` that runs where vLLM keeps its weights: in this process, or in one for each GPU.

vLLM imports this module in every worker, by the name that the engine gives it, before the worker is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from vllm import ModelRegistry, SamplingParams
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import ColumnParallelLinear, LinearBase, RowParallelLinear
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.model_executor.models.llama import LlamaAttention, LlamaForCausalLM
from vllm.platforms import current_platform
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from harness.engines import _seeded_choice as seeded_choice

#: The name under which vLLM knows `InPlace`.
BACKEND = "in-place"


@dataclass
class Nothing(WeightTransferInitInfo):
    """There is nothing to agree on before weights are sent."""


@dataclass
class NamedWeights(WeightTransferUpdateInfo):
    """Parameters under the names that transformers gives them."""

    weights: Sequence[tuple[str, Tensor]]


class InPlace(WeightTransferEngine[Nothing, NamedWeights]):
    """What vLLM's own weight-update calls end in: its loader writes into the weights that it computes with.

    The loader knows what is fused, tied and sharded. vLLM's own backends send between processes by NCCL or CUDA IPC,
    and its layer-by-layer reload takes a fused layer as a whole or fills the rest of it with whatever lies in memory;
    here one of q, k and v may come alone.
    """

    init_info_cls, update_info_cls = Nothing, NamedWeights

    def init_transfer_engine(self, init_info: Nothing) -> None:
        """Nothing to do."""

    def start_weight_update(self) -> None:
        """Nothing to do."""

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """As vLLM's own, which waits for an accelerator whether there is one or not."""
        self.receive_weights(self.parse_update_info(update_info))
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: NamedWeights) -> None:
        """Load the parameters. Raises RuntimeError if the loader passed one over."""
        with torch.no_grad():
            self.model.load_weights(iter(update_info.weights))

    def finish_weight_update(self) -> None:
        """Nothing to do."""

    def shutdown(self) -> None:
        """Nothing to do."""


class ReadableLlama(LlamaForCausalLM):
    """vLLM's Llama as it is on a GPU, on a CPU as well: each layer computes with the weight that it has.

    On a CPU vLLM packs every weight for its kernels and drops the original, so that nobody could read it back, nor
    write into it; and it does not pack a tied head again after an update.
    """

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        for layer in self.modules():
            if isinstance(layer, LinearBase):
                layer._cpu_skip_gemm_dispatch = True
        for block in self.model.layers:
            attention = block.self_attn
            width = next(size for size in CPUAttentionBackend.get_supported_head_sizes() if size >= attention.head_dim)
            if width != attention.head_dim:
                attention.attn = WidenedHeads(attention, width, vllm_config)

    def process_weights_after_loading(self) -> None:
        """Called by vLLM after its own layers were made ready."""
        self.lm_head.cpu_linear = nn.functional.linear


class WidenedHeads(nn.Module):
    """Attention of heads that are smaller than any kernel of vLLM's for CPUs knows (16, of the organisms).

    Queries, keys and values get zeros behind, which add nothing to any product; the scale stays that of the heads.
    """

    def __init__(self, attention: LlamaAttention, width: int, vllm_config: Any) -> None:
        super().__init__()
        name = attention.attn.layer_name
        del vllm_config.compilation_config.static_forward_context[name]
        self._head_size, self._width = attention.head_dim, width
        self.inner = Attention(
            attention.num_heads,
            width,
            attention.scaling,
            num_kv_heads=attention.num_kv_heads,
            cache_config=vllm_config.cache_config,
            prefix=name,
        )

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(T, heads x head size) each, and so the result."""
        heads = self.inner(*map(self._widened, (query, key, value))).unflatten(-1, (-1, self._width))
        return heads[..., : self._head_size].flatten(-2)

    def _widened(self, states: Tensor) -> Tensor:
        heads = states.unflatten(-1, (-1, self._head_size))
        return nn.functional.pad(heads, (0, self._width - self._head_size)).flatten(-2)


class SeededChoice(LogitsProcessor):
    """Chooses the tokens of sampled requests as `hf` does; vLLM, which is asked for the likeliest, takes them."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._rows: dict[int, tuple[float, Any, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """It decides what is likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Requests have come, gone or moved."""
        process_dict_updates(self._rows, batch_update, _sampled_row)

    def apply(self, logits: Tensor) -> Tensor:
        """logits: (B, V) float32. Rows of sampled requests are left with one token."""
        if not self._rows:
            return logits
        rows = sorted(self._rows)
        temperatures, draws, outputs = zip(*(self._rows[row] for row in rows), strict=True)
        temperature = torch.tensor(temperatures, device=logits.device)[:, None]
        uniform = [numbers[len(output)] for numbers, output in zip(draws, outputs, strict=True)]
        chosen = logits[rows]
        tokens = seeded_choice.choose(chosen, temperature, torch.tensor(uniform, device=logits.device)[:, None])
        logits[rows] = seeded_choice.only(tokens, chosen)
        return logits


def _sampled_row(
    params: SamplingParams, prompt: list[int] | None, output: list[int]
) -> tuple[float, Any, list[int]] | None:
    """Temperature, random numbers and the tokens so far, a list that vLLM goes on filling; None if it is greedy."""
    asked = params.extra_args or {}
    if "temperature" not in asked:
        return None
    return asked["temperature"], seeded_choice.random_numbers(asked["seed"], params.max_tokens), output


@dataclass(frozen=True)
class Shard:
    """What one worker holds of a parameter.

    dimension: along which the workers' shards follow one another, None where each holds all of it. copies: so many
    workers in a row hold the same shard. rows: of the whole parameter, where vLLM pads it.
    """

    weight: Tensor
    dimension: int | None
    copies: int
    rows: int | None


class WeightAccess:
    """Methods that vLLM gives its workers; the engine calls them by `collective_rpc`."""

    def held_names(self) -> list[str]:
        """The parameters that the worker computes with, by the names that transformers gives them."""
        fused = self.get_model().packed_modules_mapping  # type: ignore[attr-defined]
        names: list[str] = []
        for name, _ in self.get_model().named_parameters():  # type: ignore[attr-defined]
            owner, _, layer = name.removesuffix(".weight").rpartition(".")
            names += [f"{owner}.{part}.weight" for part in fused[layer]] if layer in fused else [name]
        return names

    def held_shard(self, name: str) -> Shard:
        """One parameter, cut out of the fused layer that holds it, on the CPU."""
        model = self.get_model()  # type: ignore[attr-defined]
        owner, _, part = name.removesuffix(".weight").rpartition(".")
        fused = next((whole for whole, parts in model.packed_modules_mapping.items() if part in parts), None)
        layer = model.get_submodule(f"{owner}.{fused or part}" if owner else part)
        weight, copies = layer.weight.detach(), 1
        if fused is not None:
            index = model.packed_modules_mapping[fused].index(part)
            weight = weight.split(layer.output_partition_sizes)[index]
            copies = getattr(layer, "num_kv_head_replicas", 1) if index else 1
        rows = layer.org_vocab_size if isinstance(layer, VocabParallelEmbedding) else None
        return Shard(weight.cpu(), _dimension(layer), copies, rows)


def _dimension(layer: nn.Module) -> int | None:
    if isinstance(layer, ColumnParallelLinear | VocabParallelEmbedding):
        return 0
    return 1 if isinstance(layer, RowParallelLinear) else None


WeightTransferEngineFactory.register_engine(BACKEND, InPlace)
if current_platform.is_cpu():
    ModelRegistry.register_model("LlamaForCausalLM", ReadableLlama)
