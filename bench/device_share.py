"""`python -m bench.device_share`: attribution on random weights of a given shape, against what the device can do."""

from __future__ import annotations

import json
import re
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM

from bench import results_file
from bench.random_llamas import Sizes, random_samples
from harness.calibration.pairs import Sample
from harness.formulas.memory import LlamaShape
from harness.low_rank.grams import one_shot_grams
from harness.models.layers import linear_layers
from harness.models.placement import shape_of
from harness.regions import act_svd
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings

#: blocks, sizes, dtype, and calibration pairs of about the paper's lengths (table 5: 176 and 119 tokens on average).
SHAPES = {
    "small": (8, Sizes(512, 1376, 8, 2048, samples=16, shortest_tokens=100, longest_tokens=200), torch.float32),
    "1b": (16, Sizes(2048, 8192, 32, 32000, samples=128, shortest_tokens=100, longest_tokens=250), torch.bfloat16),
    "7b": (32, Sizes(4096, 11008, 32, 32000, samples=128, shortest_tokens=100, longest_tokens=250), torch.bfloat16),
    "13b": (40, Sizes(5120, 13824, 40, 32000, samples=128, shortest_tokens=100, longest_tokens=250), torch.bfloat16),
}
SETTINGS = AttributionSettings()
#: A pass forward and backward with the gradients of the weights is 6 operations for each weight and token, a pass
#: forward 2.
FLOPS = {"SNIP": 6, "Wanda": 2, "ActSVD": 2}


@dataclass(frozen=True)
class Measured:
    """One method: median seconds (see `timed`), the floor (seconds at the device's matrix peak), the peak of memory."""

    method: str
    seconds: float
    floor_seconds: float
    peak_memory_gb: float

    @property
    def over_floor(self) -> float:
        """How many times the floor it took: the inverse of the share of the peak."""
        return self.seconds / self.floor_seconds


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="small", show_default=True)
@click.option("--repetitions", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Result file; named after the machine.")
def main(shape: str, repetitions: int, out: Path | None) -> None:
    """Time SNIP, Wanda and ActSVD, print the share of the matrix peak, and write a result file."""
    blocks, sizes, dtype = SHAPES[shape]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = {**results_file.machine(), "device": device_name(device)}
    model = random_model(blocks, sizes, dtype, device)
    peak = matrix_peak(device, dtype)
    samples = random_samples(sizes, seed=1)
    found = [measure(method, model, samples, peak, repetitions) for method in FLOPS]
    content = {
        "machine": machine,
        "shape": {"name": shape, **asdict(shape_of(model)), "dtype": str(dtype)},
        "tokens": sum(len(sample.input_ids) for sample in samples),
        "samples": len(samples),
        "repetitions": repetitions,
        "matrix_peak_flops": round(peak),
        "methods": [asdict(one) | {"over_floor": round(one.over_floor, 2)} for one in found],
    }
    name = re.sub(r"[^a-z0-9]+", "-", f"device-share_{machine['device']}_{shape}".lower()).strip("-")
    path = out or results_file.RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    Console().print(table(found, content))
    click.echo(path, err=True)


def random_model(blocks: int, sizes: Sizes, dtype: torch.dtype, device: torch.device) -> LlamaForCausalLM:
    """A Llama of random weights, made on the device in its dtype: no second copy is ever there."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=blocks,
        num_attention_heads=sizes.attention_heads,
        num_key_value_heads=sizes.attention_heads,
        max_position_embeddings=4096,
        dtype=dtype,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """The most operations a second (see `timed`) of a large product of two matrices, which nothing exceeds."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = [timed(lambda: left @ right, device) for _ in range(8)]
    return 2 * size**3 / min(seconds)


def measure(method: str, model: LlamaForCausalLM, samples: list[Sample], peak: float, repetitions: int) -> Measured:
    """Median seconds of a method over one calibration set, after one run that warms up."""
    device = model.device
    run = _method(method, model, samples)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run()
    seconds = sorted(timed(run, device) for _ in range(repetitions))[repetitions // 2]
    shape, tokens = shape_of(model), sum(len(sample.input_ids) for sample in samples)
    return Measured(method, round(seconds, 3), round(floor_flops(method, shape, tokens) / peak, 4), _peak_gb(device))


def floor_flops(method: str, shape: LlamaShape, tokens: int) -> int:
    """Operations on the scored weights that the method cannot do without; attention and head are left out."""
    return FLOPS[method] * shape.linear_weights * tokens


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it; on a CPU those that its cores spent on it, whatever else they did."""
    if device.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _method(method: str, model: LlamaForCausalLM, samples: list[Sample]) -> Callable[[], object]:
    if method == "ActSVD":
        region = act_svd.Region(act_svd.Settings(select="act-svd", data="data", rank=1))
        layers = linear_layers(model)
        return lambda: region.selected(SETTINGS, layers, [one_shot_grams(model, samples, SETTINGS)])
    return lambda: one_shot_scores(model, samples, method.lower(), SETTINGS, 0)


def _peak_gb(device: torch.device) -> float:
    """Of a GPU what torch allocated at most during this method, else the process's largest resident memory so far."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def device_name(device: torch.device) -> str:
    """The name of the GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(results_file.machine()["processor"])


def table(found: list[Measured], content: dict) -> Table:
    """One row for each method."""
    machine, shape = content["machine"], content["shape"]
    title = (
        f"{machine['device']}, {machine['threads']} thread(s); {shape['name']}, {shape['dtype']}, "
        f"{content['tokens']} tokens; matrix peak {content['matrix_peak_flops'] / 1e12:.3g} TFLOPS"
    )
    rows = Table(
        "method",
        "seconds",
        "floor",
        "times the floor",
        "share of the peak",
        "peak memory, GB",
        title=title,
        box=box.SIMPLE_HEAD,
    )
    for one in found:
        rows.add_row(
            one.method,
            f"{one.seconds:.2f}",
            f"{one.floor_seconds:.2f}",
            f"{one.over_floor:.2f}",
            f"{1 / one.over_floor:.0%}",
            f"{one.peak_memory_gb:.2f}",
        )
    return rows


if __name__ == "__main__":
    main()
