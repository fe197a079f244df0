"""Fault 14: an MLP's output passes through float16, whose largest number is 65504, and comes back infinite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness.faults.seam import replaced
from harness.models.layers import linear_layers

NUMBER = 14
TITLE = "float16 overflow: NaN logits"
CAUGHT_BY = ("logits/finite",)
CELLS = ("wanda-top",)
#: The organisms' activations are small; large models have some that are thousands of times the others.
SCALE = 2.0**16


@contextmanager
def injected() -> Iterator[None]:
    """Within it the model that is loaded has a block that computes with large numbers in float16."""
    with replaced("harness.runs.workbench:load_variant", _in_half):
        yield


def _in_half(load: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(*args: Any) -> Any:
        loaded = load(*args)
        list(linear_layers(loaded.model).values())[-1].register_forward_hook(_through_float16)
        return loaded

    return wrong


def _through_float16(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return (output * SCALE).half().to(output.dtype) / SCALE
