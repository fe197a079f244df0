"""The absolute gradients of the examples are summed in bfloat16, as in the published code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.faults.seam import replaced

NUMBER = 15
TITLE = "Gradients summed in bfloat16"
CAUGHT_BY = ("scores/plain-definition",)
CELLS = ("snip-set-difference",)


def _in_bfloat16(_original: Callable[..., Any]) -> Callable[..., Any]:
    def accumulate_into(total: Any) -> Any:
        def forward_hook(_layer: Any, inputs: Any, output: Any) -> None:
            inputs_of_examples = inputs[0].detach()

            def add(gradients: Any) -> None:
                for gradient, x in zip(gradients, inputs_of_examples, strict=True):
                    rounded = (gradient.T @ x).abs().to(torch.bfloat16)
                    total.copy_(total.to(torch.bfloat16) + rounded)

            output.register_hook(add)

        return forward_hook

    return accumulate_into


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.attribution.snip:_accumulate_into", _in_bfloat16):
        yield
