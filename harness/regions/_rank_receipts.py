"""Receipt of ranks: what is taken out of W is the part of its outputs that the spec names, of the Grams in use.

Ranks are counted in every layer. The projection is formed again from the whole spectrum of W G Wᵀ, of layers that are
drawn: as many as can be afforded, which in a small model is all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.formulas.subspace import LowRankFactors
from harness.spec.receipt import LookedAt, StageReceipt

#: d_out³ of all layers that are looked at; the smallest layer always is. 4096³ takes seconds.
MOST_WORK = 5e10
#: Largest squared distance of two projections, in ranks: one rank more or less is 1 off, another direction up to 2.
LARGEST_DISTANCE = 0.05
#: A gap between two eigenvalues under this share of the largest is none: the directions beside it are arbitrary.
SMALLEST_GAP = 1e-9
#: Layers that are told, and what is said where no known mistake explains one.
_SHOWN, _NO_CAUSE = 3, "are declared"

Grams = Mapping[str, Tensor]


@dataclass(frozen=True)
class Spectrum:
    """Of W G Wᵀ: values (R,), largest first, and their vectors (d_out, R)."""

    values: Tensor
    vectors: Tensor

    def projection(self, first: int, end: int) -> Tensor | None:
        """On the directions from `first` to before `end`; None where a cut falls between equal ones."""
        cuts = [cut for cut in (first, end) if 0 < cut < len(self.values)]
        if any(self.values[cut - 1] - self.values[cut] < SMALLEST_GAP * self.values[0] for cut in cuts):
            return None
        chosen = self.vectors[:, first:end]
        return chosen @ chosen.mT


class DeclaresRanks(Protocol):
    """A region of ranks, as far as this receipt asks it."""

    def declared(self) -> str:
        """In words, what is taken out of every layer."""

    def least_and_most(self, directions: int) -> tuple[int, int]:
        """How many ranks of a layer with so many directions are taken out at least and at most."""

    def expected(
        self, spectra: Sequence[Spectrum], directions: int
    ) -> tuple[Tensor | None, Mapping[str, Tensor | None]]:
        """What it takes out of the outputs, (d_out, d_out), and what known mistakes would, by what to call them.

        directions: R of the layer. None where a cut falls between directions that are equal.
        """


@torch.no_grad()
def removed_as_declared(
    region: DeclaresRanks,
    factors: Mapping[str, LowRankFactors],
    layers: Mapping[str, nn.Linear],
    grams: Sequence[Grams],
) -> StageReceipt:
    """Whether every layer has factors of the declared rank, and those of the first layers remove what is declared.

    layers: all, in the order in which they are formed again, the smallest first; each with the weights that its Gram
    was taken with. grams: in use, of the data, or of safety and utility.
    """
    missing = [name for name in layers if name not in factors]
    problems = [f"nothing taken out of {len(missing)} layers, first {missing[0]}"] if missing else []
    problems += _other_counts(region, factors, layers)
    compared, worst = 0, 0.0
    others: list[str] = []
    for name in _affordable(layers):
        if name in missing:
            continue
        distance, words = _distance(region, factors[name], layers[name].weight, [gram[name] for gram in grams])
        compared += distance is not None
        worst = max(worst, distance or 0.0)
        if words is not None:
            others.append(f"of {name} {words}")
    # A cut between directions that are equal tells no cause: those that tell one come first.
    problems += sorted(others, key=lambda words: _NO_CAUSE in words)[:_SHOWN]
    return StageReceipt(
        stage="mask",
        name="ranks",
        holds=not problems,
        expected=f"of every layer {region.declared()} taken out",
        seen="; ".join(problems) or f"that, in {len(factors)} layers of which {compared} were computed again",
        advice="another part of the weights was removed than the spec declares: look at where directions are sorted "
        "and chosen from the Gram matrices",
        evidence={
            "layers": len(factors),
            "computed_again": compared,
            "directions": sum(min(layer.weight.shape) for layer in layers.values()),
            "largest_distance_in_ranks": round(worst, 6),
        },
        looked_at=(
            LookedAt(what="layers, ranks counted", seen=len(factors), of=len(layers)),
            LookedAt(what="layers, directions computed again", seen=compared, of=len(layers)),
        ),
    )


def _other_counts(
    region: DeclaresRanks, factors: Mapping[str, LowRankFactors], layers: Mapping[str, nn.Linear]
) -> list[str]:
    """The layers, in one sentence, from which more or fewer ranks are taken than declared."""
    wrong = []
    for name in layers.keys() & factors.keys():
        least, most = region.least_and_most(min(layers[name].weight.shape))
        left, right = (torch.linalg.qr(factor.double()).R for factor in (factors[name].left, factors[name].right.mT))
        found = int(torch.linalg.matrix_rank(left @ right.mT))  # (k, k): the rest of both turns only
        if not least <= found <= most:
            wrong.append((name, found, most))
    if not wrong:
        return []
    name, found, most = min(wrong)
    return [f"{found} rank(s) of {name} where {most} are declared, and so in {len(wrong)} of {len(layers)} layers"]


def _affordable(layers: Mapping[str, nn.Linear]) -> list[str]:
    names: list[str] = []
    work = 0.0
    for name in sorted(layers, key=lambda name: layers[name].weight.shape[0]):
        work += float(layers[name].weight.shape[0]) ** 3
        if not names or work <= MOST_WORK:
            names.append(name)
    return names


def _distance(
    region: DeclaresRanks, factors: LowRankFactors, weight: Tensor, grams: Sequence[Tensor]
) -> tuple[float | None, str | None]:
    """Of what is taken out from what the region declares, and what is wrong, in words; None where nothing can be said.

    As they act on the outputs of W, hence on the column space of W.
    """
    matrix = weight.detach().double()
    spectra = [Spectrum(*_directions(matrix, gram.to(matrix))) for gram in grams]
    limit = min(matrix.shape)
    removed = factors.left.to(matrix) @ factors.right.to(matrix)  # (d_out, d_out)
    wanted, others = region.expected(spectra, limit)
    if wanted is None:
        return None, None
    distance = _squares(removed - wanted)
    if distance <= LARGEST_DISTANCE:
        return distance, None
    cause = next(
        (
            words
            for words, other in others.items()
            if other is not None and _squares(removed - other) <= LARGEST_DISTANCE
        ),
        None,
    )
    found, asked = (_rank(projection) for projection in (removed, wanted))
    return distance, cause or f"{found} rank(s) where {asked} {_NO_CAUSE}, {distance:.2g} away from them"


def _directions(matrix: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of W G Wᵀ, largest first."""
    product = matrix @ gram @ matrix.mT
    values, vectors = torch.linalg.eigh((product + product.mT) / 2)
    return values.flip(0), vectors.flip(1)


def _squares(matrix: Tensor) -> float:
    return float(matrix.square().sum())


def _rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, atol=1e-6))
