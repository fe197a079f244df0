"""What was computed for the last cells, as far as it takes no more memory than it may."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from harness.calibration.plain_block import PlainBlock

#: Bytes of plain scores and of samples where they enter a block. A block of a 7B model takes 0.8 GB of scores.
MOST_BYTES = 4 * 1024**3


class Recent:
    """Values by key; the oldest go where a new one makes them too large together."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[object, Any] = OrderedDict()

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """The value of a key, made where it is not kept."""
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > self._most:
            self._kept.popitem(last=False)
        return self._kept[key]


def _bytes(value: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(value))


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, PlainBlock):
        return [state.hidden for state in value.states]
    return value.values() if isinstance(value, Mapping) else []
