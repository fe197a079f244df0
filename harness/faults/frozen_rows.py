"""As in the reproduction: rows of lora_B are frozen as a whole wherever one weight of the row is selected."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.faults.seam import replaced

NUMBER = 19
TITLE = "Frozen mask over whole rows"
CAUGHT_BY = ("weights/frozen-rows",)
CELLS = ("lora",)


@contextmanager
def injected() -> Iterator[None]:
    """The trainer gets masks in which a row is frozen where any of its weights is."""

    def make_wrong(right):
        def init(self, model, settings, frozen_masks: Mapping) -> None:
            rows = {name: mask.any(dim=1, keepdim=True).expand_as(mask) for name, mask in frozen_masks.items()}
            right(self, model, settings, rows)

        return init

    with replaced("harness.finetuning.lora:LoraTraining.__init__", make_wrong):
        yield
