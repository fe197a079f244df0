"""The receipt of a fine-tuning's course: of every step its samples and its learning rate, and what AdamW makes of one.

Nothing of it comes from the trainer: hooks of torch tell when an optimizer steps and what the model reads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from harness.formulas.draws import drawn
from harness.receipts.gradients import Gradients, Silence, Wanted, look
from harness.receipts.training import PlainTraining
from harness.receipts.updates import BETAS, EPS, Part, part, update_off
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import LookedAt, StageReceipt

#: By so much of itself a learning rate or the norm of clipped gradients is rounded.
ROUNDING = 1e-5
#: What adapters are drawn in, or rounded to.
_DRAWN_IN = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Step:
    """One step of an optimizer. samples: of each row that was read for it its hash. norm: of all gradients, if asked.

    settings: of each group of parameters learning rate, weight decay, betas and eps.
    """

    optimizer: str
    samples: tuple[str, ...]
    settings: tuple[tuple[float, float, tuple[float, float], float], ...]
    norm: float | None


@dataclass(frozen=True)
class Adapter:
    """A (r, d_in) of a layer before the first step, on the CPU, and the layer's d_out."""

    a: Tensor
    d_out: int


@dataclass
class Course:
    """What was seen of a fine-tuning. off: by how much the one update differs from AdamW's, as a share of the allowed.

    updated: in which step it was taken, counted from 1; 0 where none was. adapters: as they were before the first
    step. not_held: tensors of adapters that no optimizer has. gradients: of a few steps, by plain passes.
    silence: of all steps.
    """

    steps: list[Step] = field(default_factory=list)
    updated: int = 0
    off: float = math.inf
    adapters: list[Adapter] = field(default_factory=list)
    not_held: int = 0
    gradients: Gradients = field(default_factory=Gradients)
    silence: Silence = field(default_factory=Silence)


@contextmanager
def observed(model: nn.Module, plain: PlainTraining, masks: Mapping[str, Tensor], cell: str) -> Iterator[Course]:
    """Within it every step of an optimizer is noted, and every row that the model reads with gradients.

    plain: what is to be trained. masks: by layer, what is frozen. cell: the step and the tensor whose update is
    computed a second time depend on it, and those whose gradients are.
    """
    settings = plain.settings
    course, rows, parts = Course(), list[str](), list[Part]()
    places = [places for _, places in _places(plain)]
    wanted = Wanted(cell, plain.samples.sequences, places, masks, settings.maximum_gradient_norm is not None)
    chosen = next(iter(drawn(cell, "the step of an update", settings.steps, 1)), None)

    def judge() -> None:
        """Not right behind the step: whatever the trainer does to a tensor afterwards is a part of it."""
        if parts:
            course.updated, course.off = (
                len(course.steps),
                update_off(parts.pop(), settings, course.steps[-1].settings[0][0]),
            )

    def read(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            judge()
            rows.extend(map(row_hash, kwargs["input_ids"].tolist()))

    def before(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        held = [leaf for group in optimizer.param_groups for leaf in group["params"]]
        leaves, samples = [leaf for leaf in held if leaf.grad is not None], tuple(rows)
        course.silence.note(model, held)
        if len(course.steps) in wanted.steps:
            look(model, held, wanted, len(course.steps), course.gradients)
        rows.clear()  # those of the look as well
        if not course.steps:
            course.adapters, course.not_held = _adapters(model, held)
        if len(course.steps) == chosen and leaves:
            (place,) = drawn(cell, "the tensor of an update", len(leaves), 1)
            parts.append(part(optimizer, leaves[place]))
        norm = None
        if settings.maximum_gradient_norm is not None:
            norm = math.sqrt(sum(float(leaf.grad.double().square().sum()) for leaf in leaves))
        course.steps.append(Step(type(optimizer).__name__, samples, _settings_of(optimizer), norm))

    with _removed(
        model.get_submodule("model").register_forward_pre_hook(read, with_kwargs=True),
        register_optimizer_step_pre_hook(before),
    ):
        yield course
        judge()


def _adapters(model: nn.Module, held: Sequence[Tensor]) -> tuple[list[Adapter], int]:
    """All of a model, in its order, and how many of their tensors are not among those that an optimizer holds."""
    named = {name: tensor for name, tensor in model.named_parameters() if ".lora_" in name}
    known = set(map(id, held))
    found = [
        Adapter(tensor.detach().float().cpu().clone(), named[name.replace(".lora_A.", ".lora_B.")].shape[0])
        for name, tensor in named.items()
        if ".lora_A." in name
    ]
    return found, sum(id(tensor) not in known for tensor in named.values())


def _drawn_otherwise(adapters: Sequence[Adapter], seed: int) -> int:
    """Adapters whose A is not what PEFT draws with a seed, layer after layer: as `nn.Linear` does, drawn twice.

    It may have been rounded to the 16 bits of its layer since.
    """
    others = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for adapter in adapters:
            rank, d_in = adapter.a.shape
            first = nn.Linear(d_in, rank, bias=False)
            nn.Linear(rank, adapter.d_out, bias=False)  # B, which is set to 0 afterwards, draws too
            nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
            drawn_again = [first.weight.detach().to(dtype).float() for dtype in _DRAWN_IN]
            others += not any(torch.equal(each, adapter.a) for each in drawn_again)
    return others


@contextmanager
def _removed(*handles: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def row_hash(ids: Sequence[int]) -> str:
    """Of token ids without the zeros behind them, with which rows of a batch are filled up."""
    end = next((place for place in range(len(ids), 0, -1) if ids[place - 1] != 0), 0)
    return hashlib.blake2b(repr(list(ids[:end])).encode(), digest_size=8).hexdigest()


def _settings_of(optimizer: Any) -> tuple[tuple[float, float, tuple[float, float], float], ...]:
    def number(group: dict[str, Any], name: str) -> float:
        return float(group.get(name, math.nan))

    return tuple(
        (number(each, "lr"), number(each, "weight_decay"), tuple(each.get("betas", ())), number(each, "eps"))
        for each in optimizer.param_groups
    )


def as_declared(course: Course, plain: PlainTraining) -> StageReceipt:
    """Whether every step read the samples of the seed's order at the rate of the schedule, and moved as AdamW does."""
    settings = plain.settings
    wanted = list(_wanted(plain))
    pairs = list(zip(course.steps, wanted, strict=False))
    problems = [] if len(course.steps) == len(wanted) else [f"{len(course.steps)} steps"]
    problems += _differing(pairs, "on other samples", lambda step, own: step.samples == own[0])
    problems += _differing(pairs, "at another learning rate", lambda step, own: _at_rate(step, own[1]))
    problems += _differing(pairs, "with other settings than AdamW's", lambda step, _: _as_adamw(step, settings))
    problems += _differing(pairs, "with gradients that were not clipped", lambda step, _: _clipped(step, settings))
    if others := _drawn_otherwise(course.adapters, settings.seed):
        problems.append(f"{others} of {len(course.adapters)} adapters that do not begin as the seed draws them")
    if course.not_held:
        problems.append(f"{course.not_held} tensors of adapters that no optimizer has")
    if not problems and not course.off <= 1.0:
        problems.append(f"an update in step {course.updated} that is not AdamW's")
    if course.gradients.problem:
        problems.append(course.gradients.problem)
    if course.silence.problem:
        problems.append(course.silence.problem)
    seen = LookedAt(what="steps", seen=len(pairs), of=len(wanted))
    return StageReceipt(
        stage="weights",
        name="training-course",
        holds=not problems,
        expected=f"{len(wanted)} steps of AdamW on the samples in the order of the seed, at the learning rate of the "
        f"schedule ({settings.learning_rate_schedule} from {settings.learning_rate:g})",
        seen="; ".join(problems) or "them",
        advice="another fine-tuning than the declared one: look at order of batches, schedule, optimizer",
        evidence={"steps": len(course.steps), "updated_in_step": course.updated},
        looked_at=(
            seen,
            LookedAt(what="updates", seen=int(course.updated > 0), of=len(wanted)),
            LookedAt(what="steps' gradients", seen=len(course.gradients.steps), of=len(wanted)),
        ),
    )


def _differing(
    pairs: Sequence[tuple[Step, tuple[tuple[str, ...], float]]],
    what: str,
    fits: Callable[[Step, tuple[tuple[str, ...], float]], bool],
) -> list[str]:
    wrong = [number for number, (step, own) in enumerate(pairs, start=1) if not fits(step, own)]
    return [f"{len(wrong)} of {len(pairs)} steps {what}, first step {wrong[0]}"] if wrong else []


def _places(plain: PlainTraining) -> Iterator[tuple[int, list[int]]]:
    """Of every step its epoch, and its samples by number."""
    settings = plain.settings
    generator = torch.Generator().manual_seed(settings.seed)
    size = settings.batch_size * settings.gradient_accumulation
    for epoch in range(settings.epochs):
        order = torch.randperm(len(plain.samples.sequences), generator=generator).tolist()
        while order:
            now, order = order[:size], order[size:]
            yield epoch, now


def _wanted(plain: PlainTraining) -> Iterator[tuple[tuple[str, ...], float]]:
    """Of every step the hashes of its samples, and its learning rate."""
    for number, (epoch, places) in enumerate(_places(plain)):
        samples = tuple(row_hash(plain.samples.sequences[place][0]) for place in places)
        yield samples, _rate(plain.settings, number, epoch)


def _rate(settings: FineTuningSettings, number: int, epoch: int) -> float:
    """The learning rate of a step, counted from 0."""
    if number < settings.warmup_steps:
        return settings.learning_rate * (number + 1) / settings.warmup_steps
    if settings.learning_rate_schedule == "linear":
        left = settings.steps - number
        return settings.learning_rate * left / (settings.steps - settings.warmup_steps)
    decays = settings.learning_rate_schedule == "epoch_decay"
    return settings.learning_rate * (settings.epoch_decay**epoch if decays else 1.0)


def _at_rate(step: Step, wanted: float) -> bool:
    return bool(step.settings) and all(math.isclose(rate, wanted, rel_tol=ROUNDING) for rate, *_ in step.settings)


def _as_adamw(step: Step, settings: FineTuningSettings) -> bool:
    own = settings.weight_decay, BETAS, EPS
    return step.optimizer == "AdamW" and all((decay, betas, eps) == own for _, decay, betas, eps in step.settings)


def _clipped(step: Step, settings: FineTuningSettings) -> bool:
    most = settings.maximum_gradient_norm
    return most is None or (step.norm is not None and step.norm <= most * (1 + ROUNDING))
