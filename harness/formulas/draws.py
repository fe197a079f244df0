"""Random numbers that depend on a seed and a name alone, and on no order in which they are asked for."""

from __future__ import annotations

import hashlib

import torch


def seeded(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and the name, such as a layer's, alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
