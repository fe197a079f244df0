"""What the attribution methods share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

#: {layer name: (d_out, d_in) float32}, larger meaning more important; on the CPU, since no GPU has to hold them all.
Scores = dict[str, Tensor]


class SharedInput:
    """A statistic of a layer's input, computed once for layers that share it (q, k, v; gate, up)."""

    def __init__(self, statistic: Callable[[Tensor], Tensor]) -> None:
        self._statistic = statistic
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        """The statistic of `inputs`; the last result again if the very same tensor comes again."""
        if self._last is None or self._last[0] is not inputs:
            self._last = (inputs, self._statistic(inputs))
        return self._last[1]
