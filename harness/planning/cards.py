"""Hours and money by number of cards: what cells share among them, and what each card does for itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: What every card does before its first cell. Scores are computed once, by whoever is first, and waited for.
OF_EVERY_CARD = ("loading",)
ONCE = ("importance", "Grams and directions", "new scores to the CPU")


@dataclass(frozen=True)
class Cards:
    """What a benchmark takes on so many cards. hours: from start to end. alone: of them, what more cards do not cut."""

    cards: int
    hours: float
    alone: float

    @property
    def card_hours(self) -> float:
        """What is paid for: all cards, from start to end."""
        return self.cards * self.hours


def by_cards(seconds: Mapping[str, float], cells: int, sets: int, most: int) -> list[Cards]:
    """For 1, 2, 4, ... cards, and for the most.

    seconds: by kind of work, on one card. cells: to measure. sets: of scores and Grams that are computed; two cards
    never share one. A card ends with its last cell, and waits while others have one more.
    """
    numbers = sorted({*(2**power for power in range(max(1, most).bit_length())), most})
    return [_of(seconds, max(1, cells), max(1, sets), number) for number in numbers if number <= most]


def _of(seconds: Mapping[str, float], cells: int, sets: int, cards: int) -> Cards:
    alone = sum(seconds.get(kind, 0.0) for kind in OF_EVERY_CARD)
    once = sum(seconds.get(kind, 0.0) for kind in ONCE)
    spread = sum(seconds.values()) - alone - once
    longest = alone + once * math.ceil(sets / cards) / sets + spread * math.ceil(cells / cards) / cells
    fixed = alone + once / sets + spread / cells
    return Cards(cards, longest / 3600, fixed / 3600)
