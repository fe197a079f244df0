"""What a command line or a call puts in the place of a variant's own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.spec.variant import ModelVariant


@dataclass(frozen=True)
class Instead:
    """What stands in the place of a variant's own, a local checkpoint or an engine, or of the executor `local`.

    executor_options: what the executor is given besides, by name.
    """

    weights: Path | None = None
    engine: str | None = None
    executor: str | None = None
    executor_options: Mapping[str, str | bool] = field(default_factory=dict)

    def of(self, variant: ModelVariant) -> ModelVariant:
        """The variant with it."""
        if self.weights is not None:
            variant = variant.with_weights(self.weights)
        return variant if self.engine is None else variant.model_copy(update={"engine": self.engine})

    @property
    def options(self) -> str:
        """The options as a record's command names them, each behind a blank."""
        weights = "" if self.weights is None else f" --weights {shown(str(self.weights))}"
        chosen = {"engine": self.engine, "executor": self.executor}
        return weights + "".join(f" --{option} {shown(name)}" for option, name in chosen.items() if name is not None)


def shown(given: str) -> str:
    """A benchmark or model as a command shows it: a path without the folders of this machine around it."""
    return shlex.quote(Path(os.path.abspath(given)).name if os.sep in given or given in (".", "..") else given)
