"""The rates and assumptions that hours are estimated from, as rates.yaml holds them."""

from __future__ import annotations

import functools
from pathlib import Path

from harness.spec.common import Strict
from harness.spec.loading import load_yaml_model


class Rate(Strict):
    """A number, where it comes from, and whether it was measured with this harness."""

    value: float
    measured: bool
    source: str


class Card(Strict):
    """A GPU. FLOPS are dense."""

    title: str
    memory_bytes: Rate
    flops_16_bit: Rate
    flops_32_bit: Rate
    bytes_per_second: Rate


class EngineRates(Strict):
    """How an engine generates. several_cards: whether it spreads one model over cards."""

    step_seconds: Rate
    texts_at_once: Rate
    several_cards: bool


class GpuRates(Strict):
    """What of a card's peak is reached, by kind of work.

    scored_bytes_per_second: of new scores and Grams, on their way to the CPU's memory and checked there.
    receipt_seconds_per_parameter: of a cell.
    """

    pass_share: Rate
    traffic_share: Rate
    engines: dict[str, EngineRates]
    eigenproblem_seconds: Rate
    hash_bytes_per_second: Rate
    hashes_per_cell: Rate
    store_bytes_per_second: Rate
    scored_bytes_per_second: Rate
    receipt_seconds_per_parameter: Rate
    host_bytes_per_second: Rate
    load_seconds: Rate

    def of_engine(self, name: str) -> EngineRates:
        """Those of the engine of that name; for one that the table lacks, those of its slowest."""
        return self.engines.get(name) or max(self.engines.values(), key=lambda each: each.step_seconds.value)


class CpuRates(Strict):
    """Of one process of one thread, for a model organism. Generated tokens are counted at their upper bound."""

    cell_seconds: Rate
    generated_tokens_per_second: Rate
    scored_tokens_per_second: Rate
    backward_tokens_per_second: Rate
    start_seconds: Rate


class LargeCpuRates(Strict):
    """Of one thread, for a model in float32 that is too large for several processes, as one of 135 million parameters.

    flops_per_second: of passes and of generating, whose batches are large.
    """

    flops_per_second: Rate
    hash_bytes_per_second: Rate
    largest_weight_bytes: Rate


class TaskTokens(Strict):
    """A multiple-choice task: answers of an item, and tokens of its context with one answer."""

    answers: int
    tokens: int


class AssumedTokens(Strict):
    """Lengths for a plan that has no data file to count in."""

    pairs: dict[str, Rate]
    request: Rate
    probing_requests: Rate
    suffixes: Rate
    suffix: Rate
    characters_per_token: Rate
    zero_shot: dict[str, TaskTokens]
    zero_shot_items: Rate


class Rates(Strict):
    """rates.yaml."""

    cards: dict[str, Card]
    gpu: GpuRates
    cpu: CpuRates
    large_cpu: LargeCpuRates
    tokens: AssumedTokens


@functools.cache
def rates() -> Rates:
    """The rates that the package holds."""
    return load_yaml_model(Path(__file__).parent / "rates.yaml", Rates)
