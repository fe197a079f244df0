"""What regions are found from: importance scores of a method, or Gram matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from harness.attribution.base import AttributionMethod

#: What Grams are called among the methods.
GRAM = "gram"


class Measure:
    """What is measured of every layer, and how it lies in a file.

    file_format: as a file of it says. made_by: the command that makes
    such a file. format_needed: whether a file that does not say its format is refused. symmetric: of its matrices.
    """

    file_format: ClassVar[str]
    made_by: ClassVar[str]
    format_needed: ClassVar[bool]
    symmetric: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Among the methods."""
        raise NotImplementedError(f"{type(self).__name__} defines no `name`")

    @property
    def words(self) -> str:
        """What is measured."""
        raise NotImplementedError(f"{type(self).__name__} defines no `words`")

    @property
    def method(self) -> AttributionMethod | None:
        """The method of scores; None of anything else, and of scores whose method nobody knows."""
        return None

    @property
    def uses_data(self) -> bool:
        """Whether it rests on calibration data."""
        return True

    def shape(self, layer: nn.Linear) -> tuple[int, int]:
        """Of the matrix of a layer."""
        raise NotImplementedError(f"{type(self).__name__} defines no `shape`")


@dataclass(frozen=True)
class Grams(Measure):
    """XXᵀ of the layers' inputs."""

    file_format: ClassVar[str] = "brittleness-harness grams 1"
    made_by: ClassVar[str] = "harness subspaces"
    format_needed: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """As Grams are called among the methods."""
        return GRAM

    @property
    def words(self) -> str:
        """What they are."""
        return "Gram matrices"

    def shape(self, layer: nn.Linear) -> tuple[int, int]:
        """(d_in, d_in)."""
        return layer.in_features, layer.in_features


@dataclass(frozen=True)
class Scores(Measure):
    """Importance scores. method_name: None where they are at hand, and a file says, or nobody, what they are of."""

    method_name: str | None
    file_format: ClassVar[str] = "brittleness-harness scores 1"
    made_by: ClassVar[str] = "harness score"
    format_needed: ClassVar[bool] = False  # scores of other programs are taken

    @property
    def name(self) -> str:
        """The method."""
        return self.method_name or "scores"

    @property
    def words(self) -> str:
        """The method and what it gives."""
        return f"{self.name} scores"

    @property
    def method(self) -> AttributionMethod | None:
        """By its name. Raises UserError if it is not here."""
        from harness.attribution.base import method

        return None if self.method_name is None else method(self.method_name)

    @property
    def uses_data(self) -> bool:
        """As the method does."""
        return self.method is None or self.method.uses_data

    def shape(self, layer: nn.Linear) -> tuple[int, int]:
        """(d_out, d_in)."""
        return layer.out_features, layer.in_features
