"""The adapters are taken off without being merged: what is evaluated is the model before the fine-tuning."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.seam import replaced

NUMBER = 19
TITLE = "LoRA update lost at the merge"
CAUGHT_BY = ("weights/tuned-update",)
CELLS = ("lora",)


@contextmanager
def injected() -> Iterator[None]:
    """PEFT's layers are unloaded as always; nothing was added to the weights below them."""
    with replaced("harness.finetuning.lora:LoraTraining.merge", lambda right: lambda self: None):
        yield
