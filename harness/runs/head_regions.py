"""From a region of attention heads to masks: the probe of the intact model, once for all fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from harness.models.prompts import PromptFormatter
from harness.probing.heads import HeadProbe
from harness.probing.probe import probe_heads, read_prompts
from harness.runs import computed_by
from harness.runs.store import TensorStore
from harness.spec.probing import ProbeSettings


@dataclass(frozen=True)
class HeadFinder:
    """Finds the attention heads of one intact model, whose fingerprint is model_sha256.

    path_of gives the checked file behind a dataset name. machine: what stored probes are computed on.
    """

    model: PreTrainedModel
    model_sha256: str
    formatter: PromptFormatter
    path_of: Callable[[str], Path]
    store: TensorStore
    machine: Mapping[str, object]

    def probe(self, settings: ProbeSettings) -> HeadProbe:
        """The probe of the intact model, stored by what it was fitted to."""
        prompts = read_prompts(settings, self.formatter, self.path_of)
        key: dict[str, object] = {
            "model": self.model_sha256,
            "prompts": prompts.sha256,
            "seed": settings.seed,
            "kind": "heads",
            "code": computed_by.of_heads(),
            "machine": self.machine,
        }
        words = {"measured": "probes of attention heads", "data": f"{settings.harmful} and {settings.harmless}"}
        hits = self.store.get(key, lambda: {"hits": probe_heads(self.model, prompts, settings.seed).hits}, words)
        return HeadProbe(hits["hits"])
