"""What a plan holds, and what of it does not fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.formulas.work import Work
from harness.planning import memory
from harness.planning.cards import Cards
from harness.planning.memory import Phase
from harness.planning.rates import rates


@dataclass(frozen=True)
class CellCount:
    """Cells of the benchmark on the variant. shared: measured once with another one. finished: of an unfinished run."""

    all: int
    shared: int
    finished: tuple[str, ...]
    skipped: int


@dataclass(frozen=True)
class Cached:
    """What is here, and the next step for what is not. problems: what else keeps the benchmark from running."""

    config: str
    weights: bool
    how_to_get_weights: str | None
    data: tuple[str, ...]
    missing_data: dict[str, str]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """What a benchmark takes on one kind of device. seconds: by kind of work."""

    title: str
    seconds: dict[str, float]
    phases: tuple[Phase, ...]
    usable_bytes: int | None
    fits: bool

    @property
    def hours(self) -> float:
        """All kinds of work; on one GPU the same number of GPU hours."""
        return sum(self.seconds.values()) / 3600

    @property
    def peak(self) -> Phase | None:
        """The phase that needs most of the card."""
        return max(self.phases, key=lambda phase: phase.bytes, default=None)


@dataclass(frozen=True)
class Plan:
    """Everything that a benchmark on a variant will take.

    work: of all cells that are to be measured, with upper bounds as in harness.planning.work.
    assumed: what was not counted. assumed_work: methods that do not say what they take. assumed_rates: an engine
    whose rates nobody holds. by_cards: of the chosen device, where more than one of it is asked about.
    """

    benchmark: str
    variant: str
    engine: str
    device: str
    parameters: int
    cells: CellCount
    cached: Cached
    work: Work
    assumed: tuple[str, ...]
    assumed_work: tuple[str, ...]
    assumed_rates: tuple[str, ...]
    devices: dict[str, Device]
    by_cards: tuple[Cards, ...]
    host_bytes: dict[str, int]
    disk_bytes: dict[str, int]
    disk_free_bytes: int
    unfit: tuple[str, ...]
    adaptation: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For a program that reads along."""
        content = asdict(self)
        for name, device in self.devices.items():
            content["devices"][name] |= {
                "hours": round(device.hours, 3),
                "gpu_hours": round(device.hours, 3) if device.usable_bytes else 0,
                "peak_phase": device.peak.name if device.peak else None,
                "peak_bytes": device.peak.bytes if device.peak else None,
            }
        content["by_cards"] = [asdict(each) | {"card_hours": each.card_hours} for each in self.by_cards]
        return content


def unfit(chosen: str, devices: dict[str, Device], engine: str) -> list[str]:
    """What does not fit on the chosen card, with what would help."""
    device = devices[chosen]
    if device.usable_bytes is None:
        return []
    larger = [other.title for other in devices.values() if other.fits]
    card = rates().cards.get(chosen)
    problems = []
    for phase in device.phases:
        if phase.bytes <= device.usable_bytes:
            continue
        parts = ", ".join(f"{size / 1e9:.1f} GB {what}" for what, size in phase.on_card.items())
        ways = [f"the whole benchmark fits on: {', '.join(larger)}"] if larger else ["no card in the table holds it"]
        split = memory.cards_needed(phase, card) if card else 0
        if phase.name.startswith(("generating", "scoring")) and split:
            able = [name for name, each in rates().gpu.engines.items() if each.several_cards]
            other = "" if engine in able else f", with --engine {' or '.join(able)}"
            ways.append(f"tensor parallelism over {split} cards{other}")
        if phase.name == "fine-tuning (full)":
            ways.append("method lora, or parameters: linear_layers in the spec, train less")
        problems.append(
            f"{phase.name} needs {phase.bytes / 1e9:.1f} GB ({parts}) of the "
            f"{device.usable_bytes / 1e9:.1f} GB of one {device.title}; {'; '.join(ways)}"
        )
    return problems
