"""Seconds of each kind of work: on a card from its peak and the share that is reached, on a CPU from measured rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.formulas.memory import FLOAT32, LlamaShape, gram_bytes, key_value_bytes, score_bytes
from harness.formulas.work import Work
from harness.planning.memory import Model
from harness.planning.rates import Card, rates


@dataclass(frozen=True)
class Load:
    """How a benchmark asks its work of a card.

    texts_at_once: as many as fit. stored: sets of scores and of Grams that are kept. spilled_bytes: of sums that lie
    on the CPU, added up there after each batch.
    """

    cells: int
    engine: str
    texts_at_once: int
    stored: dict[str, int]
    spilled_bytes: int


def gpu_seconds(work: Work, load: Load, model: Model, card: Card) -> dict[str, float]:
    """By kind of work.

    Attention's own products, which grow with the square of a text's length, are left out: these texts are short.
    """
    gpu, shape = rates().gpu, model.shape
    traffic = card.bytes_per_second.value * gpu.traffic_share.value
    per_pass = 2 * shape.parameters / (card.flops_16_bit.value * gpu.pass_share.value)  # a token through all blocks
    weights = model.weight_bytes
    grams = 2 * work.gram_tokens * shape.blocks * sum(size**2 for size in shape.gram_inputs)
    return {
        "loading": gpu.load_seconds.value,
        "generating": _generating(work, load, model, card) + work.prompt_tokens * per_pass,
        "scoring texts": work.scored_tokens * per_pass,
        "importance": _importance(work, load, shape, per_pass, traffic),
        "Grams and directions": grams / (card.flops_32_bit.value * gpu.pass_share.value)
        + work.factored_models * shape.blocks * len(shape.layer_shapes) * gpu.eigenproblem_seconds.value,
        "fine-tuning": 3 * work.tuned_tokens * per_pass + work.tuned_steps * 10 * weights / traffic,
        "receipts": load.cells * gpu.receipt_seconds_per_parameter.value * shape.parameters,
        "new scores to the CPU": _new_bytes(load, shape) / gpu.scored_bytes_per_second.value,
        "fingerprints": load.cells * gpu.hashes_per_cell.value * weights / gpu.hash_bytes_per_second.value,
        "scores to and from the disk": _stored_bytes(load, shape) / gpu.store_bytes_per_second.value,
    }


def _importance(work: Work, load: Load, shape: LlamaShape, per_pass: float, traffic: float) -> float:
    """per_pass: seconds of a token through all blocks. traffic: bytes per second that are reached."""
    # Products of gradients, of so many examples at once, are written once and read once; sums once for all of them.
    gradient_bytes = work.backward_examples * shape.linear_weights * FLOAT32 * 2.4
    scored_back = min(work.backward_tokens, work.forward_tokens)
    batches = math.ceil(work.forward_tokens / 4096)
    return (
        work.forward_tokens * per_pass
        + 2 * scored_back * per_pass
        + gradient_bytes / traffic
        + batches * load.spilled_bytes / rates().gpu.host_bytes_per_second.value
    )


def _new_bytes(load: Load, shape: LlamaShape) -> float:
    """Of scores and Grams that are computed."""
    return load.stored["scores"] * score_bytes(shape) + load.stored["grams"] * gram_bytes(shape)


def _stored_bytes(load: Load, shape: LlamaShape) -> float:
    """Of scores and Grams: written once, and about one set read for each cell."""
    kept = _new_bytes(load, shape)
    read = max(1, load.cells) * (kept / max(1, load.stored["scores"] + load.stored["grams"])) if kept else 0
    return kept + read


def _generating(work: Work, load: Load, model: Model, card: Card) -> float:
    """A step reads all weights and the keys and values of all texts, half of them on average, or waits for launches."""
    if not work.texts:
        return 0.0
    gpu = rates().gpu
    launch = gpu.of_engine(load.engine).step_seconds
    rows = min(load.texts_at_once, work.texts)
    steps = work.generated_tokens / rows
    moved = model.weight_bytes + rows * key_value_bytes(model.shape, model.text_tokens // 2, model.itemsize)
    moving = moved / (card.bytes_per_second.value * gpu.traffic_share.value)
    # transformers launches and computes one after the other where a step is short; the longer of both decides
    return steps * max(launch.value, moving)


def cpu_seconds(work: Work, cells: int, processes: int) -> dict[str, float]:
    """By kind of work, spread over processes of one thread each. For organisms of a million parameters."""
    cpu = rates().cpu
    return {
        "loading": cpu.start_seconds.value,
        "generating": work.generated_tokens / cpu.generated_tokens_per_second.value / processes,
        "scoring texts": work.scored_tokens / cpu.scored_tokens_per_second.value / processes,
        "importance": work.forward_tokens / cpu.scored_tokens_per_second.value / processes
        + work.backward_tokens / cpu.backward_tokens_per_second.value / processes,
        "fine-tuning": work.tuned_tokens / cpu.backward_tokens_per_second.value / processes,
        "receipts": cells * cpu.cell_seconds.value / processes,
    }


def large_cpu_seconds(work: Work, load: Load, model: Model) -> dict[str, float]:
    """By kind of work, of one thread: for models that run in one process. Attention's own products are left out."""
    cpu, gpu, shape = rates().large_cpu, rates().gpu, model.shape
    rate = cpu.flops_per_second.value
    per_pass = 2 * shape.parameters / rate
    scored_back = min(work.backward_tokens, work.forward_tokens)
    grams = 2 * work.gram_tokens * shape.blocks * sum(size**2 for size in shape.gram_inputs)
    hashed = load.cells * gpu.hashes_per_cell.value * model.weight_bytes
    return {
        "loading": rates().cpu.start_seconds.value,
        "generating": (work.prompt_tokens + work.generated_tokens) * per_pass,
        "scoring texts": work.scored_tokens * per_pass,
        "importance": (work.forward_tokens + 2 * scored_back) * per_pass,
        "Grams and directions": grams / rate,
        "fine-tuning": 3 * work.tuned_tokens * per_pass,
        "fingerprints": hashed / cpu.hash_bytes_per_second.value,
        "scores to and from the disk": _stored_bytes(load, shape) / gpu.store_bytes_per_second.value,
    }
