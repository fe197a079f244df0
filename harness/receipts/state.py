"""Receipts of what a model has besides its weights (hooks, training mode, gradients, buffers), and of all after a cell.

Weights are compared by checksums that are made where they lie, tensor by tensor, so that one that was not put back is
named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from harness.models.fingerprint import bit_checksum
from harness.spec.receipt import LookedAt, StageReceipt

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)
#: Hooks of the library's own, which stay on a model once states were asked for, and do nothing unless they are again.
_OF_THE_LIBRARY = "transformers.utils.output_capturing"
#: Differences that are told.
_SHOWN = 3


@dataclass(frozen=True)
class ModelState:
    """numbers: by the name of a parameter or buffer, a checksum of its bits. modules: by name, its class and what hangs
    on it, in words; nothing hangs on a model at rest."""

    numbers: Mapping[str, int]
    modules: Mapping[str, str]
    restless: tuple[str, ...]

    @classmethod
    def of(cls, model: nn.Module) -> ModelState:
        """As the model is now."""
        numbers = {name: bit_checksum(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        modules = {name: f"{type(module).__module__}.{type(module).__name__}" for name, module in model.named_modules()}
        return cls(numbers, modules, tuple(_restless(model)))


def _restless(model: nn.Module) -> list[str]:
    """What a model that is only to be read must not have, each in words."""
    found = []
    for name, module in model.named_modules():
        where = name or "the model"
        hooks = [hook for kind in _HOOKS for hook in getattr(module, kind, {}).values()]
        if any(getattr(hook, "__module__", None) != _OF_THE_LIBRARY for hook in hooks):
            found.append(f"a hook on {where}")
        if "forward" in vars(module):
            found.append(f"another forward on {where}")
        if module.training:
            found.append(f"training mode in {where}")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or parameter.grad is not None:
            found.append(f"gradients of {name}")
    return found


def at_rest(state: ModelState) -> StageReceipt:
    """Whether nothing hangs on the model when a cell begins."""
    return StageReceipt(
        stage="weights",
        name="at-rest",
        holds=not state.restless,
        expected="a model without hooks or gradients, in evaluation mode",
        seen=_first(state.restless) or "that",
        advice="something that ran before has left it on the model, where it changes what is computed",
        evidence={"found": len(state.restless)},
        looked_at=(LookedAt(what="modules", seen=len(state.modules), of=len(state.modules)),),
    )


def left_as_found(before: ModelState, after: ModelState) -> StageReceipt:
    """Whether a cell, or the canaries, left every parameter, buffer and module as they were, in every bit."""
    names = [*before.numbers, *(name for name in after.numbers if name not in before.numbers)]
    problems = [f"{name} is not put back" for name in names if after.numbers.get(name) != before.numbers.get(name)]
    modules = [*before.modules, *(name for name in after.modules if name not in before.modules)]
    problems += [
        f"{name} is {after.modules.get(name, 'gone')}, where {before.modules.get(name, 'nothing')} was"
        for name in modules
        if after.modules.get(name) != before.modules.get(name)
    ]
    problems += [f"{words} is left" for words in after.restless if words not in before.restless]
    return StageReceipt(
        stage="weights",
        name="left-as-found",
        holds=not problems,
        expected="every parameter, buffer and module afterwards as it was before, in every bit",
        seen=_first(problems) or "that",
        advice="look at what undoes the edit or fine-tuning; the model is loaded anew for the cells that follow",
        evidence={"tensors": len(before.numbers), "problems": len(problems)},
        looked_at=(LookedAt(what="tensors", seen=len(before.numbers), of=len(before.numbers)),),
    )


def _first(problems: tuple[str, ...] | list[str]) -> str:
    more = [f"and {len(problems) - _SHOWN} more"] * (len(problems) > _SHOWN)
    return "; ".join([*problems[:_SHOWN], *more])
