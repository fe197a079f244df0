"""As in the reproduction: a closure over the loop's variable, so that every layer uses the last layer's mask."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.faults.seam import replaced

NUMBER = 19
TITLE = "Hooks all bound to the last layer: every layer frozen by one mask"
CAUGHT_BY = ("weights/frozen-set",)
CELLS = ("lora",)


@contextmanager
def injected() -> Iterator[None]:
    """Each layer gets the mask of the last layer of its shape."""

    def make_wrong(right):
        def init(self, model, settings, frozen_masks: Mapping) -> None:
            last = {mask.shape: mask for mask in frozen_masks.values()}
            right(self, model, settings, {name: last[mask.shape] for name, mask in frozen_masks.items()})

        return init

    with replaced("harness.finetuning.lora:LoraTraining.__init__", make_wrong):
        yield
