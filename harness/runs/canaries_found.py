"""What canaries came to, as it goes from one process to another and to disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt


@dataclass(frozen=True)
class Canaries:
    """Receipts, and the judged texts that each is made of, by its name (manifest.CANARY_STATES)."""

    receipts: tuple[StageReceipt, ...] = ()
    texts: Mapping[str, tuple[Completion, ...]] = field(default_factory=dict)
