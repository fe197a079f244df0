"""From a region of attention heads to masks: the probe of the intact model, once for all fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from harness.models.prompts import PromptFormatter
from harness.probing.heads import HeadProbe
from harness.probing.probe import ProbePrompts, probe_heads, read_prompts
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
        prompts = self._prompts(settings)
        words = {"measured": "probes of attention heads", "data": f"{settings.harmful} and {settings.harmless}"}
        words["origin"] = self._origin(settings, prompts)
        hits = self.store.get(
            self._key(settings, prompts),
            lambda: {"hits": probe_heads(self.model, prompts, settings.seed).hits},
            words,
        )
        return HeadProbe(hits["hits"])

    def origin(self, settings: ProbeSettings) -> tuple[str, str | None]:
        """What a stored probe should be, in words, and what is written beside it."""
        prompts = self._prompts(settings)
        return self._origin(settings, prompts), self.store.origin(self._key(settings, prompts))

    def _prompts(self, settings: ProbeSettings) -> ProbePrompts:
        return read_prompts(settings, self.formatter, self.path_of)

    def _key(self, settings: ProbeSettings, prompts: ProbePrompts) -> dict[str, object]:
        """Everything that decides a stored probe."""
        return {
            "model": self.model_sha256,
            "prompts": prompts.sha256,
            "seed": settings.seed,
            "kind": "heads",
            "code": computed_by.of_heads(),
            "machine": self.machine,
        }

    def _origin(self, settings: ProbeSettings, prompts: ProbePrompts) -> str:
        """In words what is probed on what. It is formed apart from the key, which it has to agree with."""
        asked = f"{len(prompts.harmful)} and {len(prompts.harmless)} prompts ({prompts.sha256[:8]})"
        made = computed_by.in_words(computed_by.of_heads(), self.machine)
        return f"probes of the model {self.model_sha256[:8]} on {asked}, split with seed {settings.seed}, by {made}"
