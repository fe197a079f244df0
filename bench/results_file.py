"""The result file of a run: machine, sizes, every repetition; and the tables that are made of it."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
import transformers

from harness.errors import UserError

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[1] / "docs" / "results" / "speed.md"
COLUMNS = ("N", "method", "pass", "one by one", "ours", "passes", "theirs", "ratio", "net")


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of one method on one model, one number for each repetition.

    pass_seconds: a plain pass (SNIP: forward and backward) in the harness's batches. one_by_one_seconds: the
    same, one example at a time, as the published algorithms run.
    """

    blocks: int
    method: str
    pass_seconds: Sequence[float]
    one_by_one_seconds: Sequence[float]
    harness_seconds: Sequence[float]
    published_seconds: Sequence[float]

    def cells(self) -> list[str]:
        """The texts of one row, in the order of COLUMNS: medians in seconds, and ratios of medians.

        passes: the harness over a plain pass. ratio: the published algorithm over the harness. net: the
        ratio over what a plain pass alone gains from batches, which is what to expect of a model so
        large that one example fills the processor.
        """
        plain, one_by_one = median(self.pass_seconds), median(self.one_by_one_seconds)
        harness, published = median(self.harness_seconds), median(self.published_seconds)
        seconds = [f"{value:.2f}" for value in (plain, one_by_one, harness)]
        ratio = published / harness
        ratios = [f"{ratio:.1f}", f"{ratio * plain / one_by_one:.1f}"]
        return [str(self.blocks), self.method, *seconds, f"{harness / plain:.1f}", f"{published:.2f}", *ratios]


def machine() -> dict[str, str | int | list[float]]:
    """What was timed on; the load says whether other work was running."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _processor() -> str:
    """Model name of the processor; Python does not know it on Linux."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*: (.+)$", information.read_text(), flags=re.MULTILINE)
        if found:
            return found.group(1)
    return platform.processor() or platform.machine()


def default_path(machine: dict, sizes: dict, blocks: Sequence[int]) -> Path:
    """One file for each processor, number of threads and sizes: a run of the same replaces it."""
    processor = re.sub(r"[^a-z0-9]+", "-", str(machine["processor"]).lower()).strip("-")
    depths = "-".join(map(str, blocks))
    return RESULTS / f"{processor}_{machine['threads']}-threads_{depths}-blocks_{sizes['samples']}-samples.json"


def write(path: Path, machine: dict, sizes: dict, timings: Sequence[Timing]) -> None:
    """Write a result file."""
    content = {"machine": machine, "sizes": sizes, "timings": [asdict(timing) for timing in timings]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[dict, dict, list[Timing]]:
    """Machine, sizes and timings of a result file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], content["sizes"], [Timing(**timing) for timing in content["timings"]]


def markdown(path: Path) -> str:
    """The paragraph and table of docs/results/speed.md for a result file."""
    machine, sizes, timings = read(path)
    repetitions = len(timings[0].harness_seconds)
    load = machine["load_average_at_start"][0]
    lines = [
        f"`bench/results/{path.name}`: {machine['processor']}, {machine['cores']} cores, {machine['threads']} "
        f"thread(s), load average {load} at the start{', from other work' if load >= 1 else ''}, "
        f"torch {machine['torch']}; hidden size {sizes['hidden_size']}, {sizes['samples']} samples of "
        f"{sizes['shortest_tokens']} to {sizes['longest_tokens']} tokens, float32; {repetitions} repetition(s).",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(timing.cells()) + " |" for timing in timings),
    ]
    return "\n".join(lines)


def update_document(path: Path, document: Path = DOCUMENT) -> None:
    """Put the figures of a result file in the place of those that a document holds.

    Raises UserError where it holds none.
    """
    old = re.compile(r"^`bench/results/.*?(?=\n\n(?!\|))", flags=re.MULTILINE | re.DOTALL)
    text, replaced = old.subn(lambda _: markdown(path), document.read_text(encoding="utf-8"), count=1)
    if not replaced:
        raise UserError(f"{document.name}: no line begins with `bench/results/; expected the figures to replace there")
    document.write_text(text, encoding="utf-8")
