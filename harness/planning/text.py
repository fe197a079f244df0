"""A plan in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.planning.document import Device, Plan
from harness.planning.rates import rates


def lines(plan: Plan, price: float | None = None) -> Iterator[str]:
    """The plan as it is printed; hours are estimates, and say of what. price: of an hour of one card."""
    yield f"{plan.benchmark} on {plan.variant}, {plan.parameters / 1e9:.3g} billion parameters, engine {plan.engine}"
    yield from _cells(plan)
    yield from _adapted(plan)
    yield from _cached(plan)
    yield from _tokens(plan)
    if plan.devices[plan.device].phases:
        yield from _memory(plan.devices[plan.device])
        yield from _sizes("CPU memory at the same time", plan.host_bytes)
    free = f"{plan.disk_free_bytes / 1e9:.0f} GB free here"
    if plan.disk_free_bytes < sum(plan.disk_bytes.values()):
        free += ", too little: make room or give another --out"
    yield from _sizes(f"disk ({free})", plan.disk_bytes)
    yield from _hours(plan)
    yield from _by_cards(plan, price)


def _cells(plan: Plan) -> Iterator[str]:
    cells, words = plan.cells, []
    if cells.shared:
        words.append(f"{cells.shared} the same as another one")
    if cells.finished:
        words.append(f"{len(cells.finished)} finished in an interrupted run, which goes on if nothing has changed")
    if cells.skipped:
        words.append(f"{cells.skipped} that this variant cannot have left out")
    yield f"cells: {cells.all}" + (f" ({'; '.join(words)})" if words else "")


def _adapted(plan: Plan) -> Iterator[str]:
    """What the variant makes smaller, and what it leaves out."""
    sizes = [
        f"{key} {size['used']} of {size['declared'] or 'all'}" for key, size in plan.adaptation.get("sizes", {}).items()
    ]
    if sizes:
        yield f"in the variant's sizes: {', '.join(sizes)}"
    yield from (f"left out: {name}: {reason}" for name, reason in plan.adaptation.get("left_out", {}).items())


def _cached(plan: Plan) -> Iterator[str]:
    cached = plan.cached
    yield f"sizes from {cached.config}; weights " + (
        "here" if cached.weights else f"missing: {cached.how_to_get_weights}"
    )
    if cached.missing_data:
        yield f"data: {len(cached.data)} here, {len(cached.missing_data)} missing or wrong"
        yield from (f"  {words}" for words in dict.fromkeys(cached.missing_data.values()))
    else:
        yield f"data: all {len(cached.data)} here"
    yield from (f"cannot run yet: {problem}" for problem in cached.problems)


def _tokens(plan: Plan) -> Iterator[str]:
    work = plan.work
    yield f"tokens: {work.prompt_tokens:,} of {work.texts:,} prompts; at most {work.generated_tokens:,} to generate"
    yield f"  at most {work.scored_tokens:,} to score; {work.tuned_tokens:,} to fine-tune on"
    yield (
        f"  {work.forward_tokens:,} forward and {work.backward_tokens:,} back for importance, directions and receipts"
    )
    if plan.assumed:
        yield "  assumed, since tokenizer or data are not here: " + ", ".join(plan.assumed)
    if plan.assumed_work:
        yield "  assumed, since the method does not say: one forward pass by " + ", ".join(plan.assumed_work)
    if plan.assumed_rates:
        yield "  assumed, since no rates are held: that this engine is as slow as any: " + ", ".join(plan.assumed_rates)


def _memory(device: Device) -> Iterator[str]:
    yield f"memory of one {device.title}, {(device.usable_bytes or 0) / 1e9:.1f} GB usable:"
    for phase in device.phases:
        parts = ", ".join(f"{what} {size / 1e9:.1f}" for what, size in phase.on_card.items())
        mark = "  <- peak" if phase is device.peak else ""
        yield f"  {phase.name}: {phase.bytes / 1e9:.1f} GB ({parts}){mark}"
        if phase.spilled:
            yield "    on the CPU, since the card has no room: " + _parts(phase.spilled)


def _sizes(what: str, sizes: Mapping[str, int]) -> Iterator[str]:
    if sizes:
        yield f"{what}: {sum(sizes.values()) / 1e9:.3g} GB ({_parts(sizes)})"


def _parts(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {size / 1e9:.3g} GB" for what, size in sizes.items())


def _hours(plan: Plan) -> Iterator[str]:
    measured = (
        "from rates measured on a CPU"
        if plan.device == "cpu"
        else ("on GPUs from data sheets and from one H200, measured with a 7B model (harness/planning/rates.yaml)")
    )
    yield f"time, {measured}, texts as long as they may become:"
    for name, device in plan.devices.items():
        longest = sorted(device.seconds.items(), key=lambda item: -item[1])[:4]
        parts = ", ".join(f"{kind} {_time(seconds)}" for kind, seconds in longest if seconds >= 1)
        price = f", {device.hours:.1f} GPU hours" if name in rates().cards else ""
        room = "" if device.fits else "; does not fit"
        room += "; from a rate measured on a Xeon" if name == "cpu" != plan.device else ""
        yield f"  {device.title}: {_time(device.hours * 3600)}{price}{room} ({parts})"


def _by_cards(plan: Plan, price: float | None) -> Iterator[str]:
    if not plan.by_cards:
        return
    yield f"by number of cards, {plan.devices[plan.device].title}, a cell at a time on each (--executor ray):"
    for each in plan.by_cards:
        paid = "" if price is None else f", {each.card_hours * price:.2f} at {price:g} an hour"
        yield (
            f"  {each.cards}: {_time(each.hours * 3600)}, {each.card_hours:.1f} card hours{paid}"
            f" ({_time(each.alone * 3600)} that no more cards cut: loading, one set of scores, one cell)"
        )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
