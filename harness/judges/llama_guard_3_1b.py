"""Llama Guard 3 1B, made of Llama 3.2 1B: see harness/judges/_llama_guard.py."""

from __future__ import annotations

from harness.judges._checkpoints import DeclaredCheckpoint
from harness.judges._llama_guard import LlamaGuardJudge

Settings = DeclaredCheckpoint


class Judge(LlamaGuardJudge):
    """Meta 2024. Access to the repository is asked for on the hub."""

    PINNED = ("meta-llama/Llama-Guard-3-1B", "acf7aafa60f0410f8f42b1fa35e077d705892029")
