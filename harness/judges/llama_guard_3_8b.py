"""Llama Guard 3 8B, made of Llama 3.1 8B: see harness/judges/_llama_guard.py."""

from __future__ import annotations

from harness.judges._checkpoints import DeclaredCheckpoint
from harness.judges._llama_guard import LlamaGuardJudge

Settings = DeclaredCheckpoint


class Judge(LlamaGuardJudge):
    """Meta 2024. Access to the repository is asked for on the hub."""

    PINNED = ("meta-llama/Llama-Guard-3-8B", "7327bd9f6efbbe6101dc6cc4736302b3cbb6e425")
