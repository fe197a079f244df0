"""Random numbers that depend on a seed and a name alone, and on no order in which they are asked for."""

from __future__ import annotations

import hashlib

import torch


def seeded(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and the name, such as a layer's, alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def drawn(cell: str, what: str, of: int, count: int) -> tuple[int, ...]:
    """`count` of the numbers from 0 to `of` - 1, or all where there are fewer, rising: where a receipt of a cell looks.

    They depend on the cell and on what they are drawn for alone, and on no random number that a figure rests on.
    """
    order = torch.randperm(of, generator=seeded(0, f"{what} of {cell}"))
    return tuple(sorted(order[:count].tolist()))


def in_turn(number: int, what: str, of: int, count: int) -> tuple[int, ...]:
    """As `drawn`, for the cell with this number, so that the cells of a benchmark one after the other see everything.

    what: names the order, which is the same for all of them.
    """
    order = torch.randperm(of, generator=seeded(0, what)).tolist()
    return tuple(sorted({order[(count * number + place) % of] for place in range(min(count, of))}))
