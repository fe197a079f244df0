"""What a method of attribution declares, and what the methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from harness import plugins
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream
from harness.spec.region import AttributionSettings

#: {layer name: (d_out, d_in) float32}, larger meaning more important; on the CPU, since no GPU has to hold them all.
Scores = dict[str, Tensor]
#: The same of one block in float64, by a plain definition.
PlainScores = dict[str, Tensor]


@dataclass(frozen=True)
class ScoringWork:
    """What scoring a model once asks of it, for `harness plan`.

    forward, backward: times that every token of the samples goes through all blocks, and back. A method that goes back
    needs all blocks behind the one that it scores. one_by_one: the gradients of examples are formed one by one.
    assumed: the method does not say; it is taken for what most methods do.
    """

    forward: float = 0
    backward: float = 0
    one_by_one: bool = False
    assumed: bool = False


class AttributionMethod:
    """A method of attribution: a module in harness/attribution holds one, as its class `Method`.

    uses_data: scores rest on calibration data; without it a spec names none.
    signed: scores may be negative. Of a method that is not signed, a negative score is taken for a mistake.
    uses_model: scores rest on the weights; without it they are the same whatever the model has become.
    weight_times_sum: a score is W or |W| times a sum over the samples, so that a sum kept in 16 bits can be told.
    subsample_size: so many samples are enough to tell a layer's scores from another's; least_rank_correlation: the
        smallest rank correlation that theirs have with those of all. Absolute values, of which the others are taken to
        be: of the organisms' layers, over three seeds, 4 of 128 samples, the least is 0.84, and the largest of another
        block's scores 0.24.
    title: what people call it; by default its name.
    """

    uses_data: bool
    signed: bool = False
    uses_model: bool = True
    weight_times_sum: bool = False
    subsample_size: int = 4
    least_rank_correlation: float = 0.4
    title: str = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = self.title or name

    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """Scores of `layers`, larger for what matters more.

        stream: the model and the samples at the block where they are now; without samples for a method that uses no
        data. layers: by name, of that block or of blocks behind it. seed: of a method that draws.
        """
        raise NotImplementedError(f"the method {self.name} does not say how it scores")

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores | None:
        """Scores of one block by the definition in float64, on the CPU; None where the method gives none.

        Receipts compare the scores in use with it, so it shares no code with `score`. Without it nobody checks the
        scores by other means, and the record says so.
        """
        return None

    def mistakes(
        self, block: PlainBlock, settings: AttributionSettings, seed: int
    ) -> Mapping[str, Callable[[], PlainScores | None]]:
        """Mistakes of its own that receipts can name, in words, each with the scores that it would give."""
        return {}

    def work(self) -> ScoringWork:
        """What scoring asks of the model; by default one forward pass over the data, if it uses any."""
        return ScoringWork(forward=1, assumed=True) if self.uses_data else ScoringWork()


def method(name: str) -> AttributionMethod:
    """The method of that name, as a spec writes it.

    Raises UserError if there is none, or if its module does not declare one.
    """
    declared = plugins.load("attribution", name).Method
    if not (isinstance(declared, type) and issubclass(declared, AttributionMethod)):
        why = "it defines no class Method(AttributionMethod); docs/how-to/add.md shows one"
        raise plugins.unfit("attribution", name, why)
    if not isinstance(getattr(declared, "uses_data", None), bool):
        raise plugins.unfit("attribution", name, "Method.uses_data is missing; expected True or False")
    plugins.refuse_without("attribution", name, declared, AttributionMethod, "score")
    return declared(name.replace("-", "_"))


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
