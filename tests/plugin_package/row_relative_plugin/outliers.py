"""Weights far from zero, as their layer is spread."""

from typing import Literal

from pydantic import Field

from harness.regions import base
from harness.spec.region import RegionSettings


class Settings(RegionSettings):
    """Those larger than `deviations` times the root mean square of their layer."""

    select: Literal["outliers"]
    deviations: float = Field(gt=0)


class Region(base.Region):
    """See harness.regions.base.Region."""

    in_all_layers = True

    def find(self, finder, witness):
        """By torch, layer by layer."""
        from harness.models.editing import SelectedWeights
        from harness.models.layers import linear_layers

        weights = {name: layer.weight.detach() for name, layer in linear_layers(finder.model).items()}
        far = self.settings.deviations
        return SelectedWeights({name: w.abs() > far * w.square().mean().sqrt() for name, w in weights.items()})

    def plain_masks(self, look):
        """By numpy, in float64."""
        import numpy as np
        import torch

        sizes = {name: np.abs(layer.weight.detach().numpy().astype(float)) for name, layer in look.layers.items()}
        far = self.settings.deviations
        return {name: torch.from_numpy(w > far * np.sqrt((w * w).mean())) for name, w in sizes.items()}
