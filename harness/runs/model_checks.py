"""Whether a model's files have what a run asks of it: looked at before any weight is loaded."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.checkpoint_files import stored_tensors, unloaded_layers
from harness.models.loading import checkpoint_files, load_stop_tokens, source_directory
from harness.regions import base as regions
from harness.spec.layers import LAYER_TYPES
from harness.spec.region import AttributionSettings, RegionSettings
from harness.spec.variant import ModelVariant


def require_end(variant: ModelVariant, variant_file: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError where no token ends an answer, by the tokenizer and the checkpoint's files."""
    if not load_stop_tokens(variant, variant_file) and tokenizer.eos_token_id is None:
        raise UserError(
            f"{variant_file}: neither the tokenizer nor generation_config.json names a token that ends an answer; "
            "expected eos_token in tokenizer_config.json, or eos_token_id in generation_config.json"
        )


def require_planted_fits(variant: ModelVariant, variant_file: Path, planted: Path) -> None:
    """Raise UserError unless the file of the planted region holds masks of the model's linear layers."""
    stored = checkpoint_files(variant, variant_file).tensors
    for name, mask in stored_tensors(planted).items():
        weight = stored.get(f"{name}.weight")
        if weight is None or name.rpartition(".")[2] not in LAYER_TYPES:
            raise UserError(f"{planted}: holds {name!r}; expected masks by the names of the model's linear layers")
        if mask.shape != weight.shape:
            raise UserError(f"{planted}: {name} is {mask.shape}; expected {weight.shape}, as the layer's weights")


def require_region_fits(
    variant: ModelVariant, variant_file: Path, region: RegionSettings, defaults: AttributionSettings
) -> None:
    """Raise UserError where a model with layers of the shapes that its files have cannot have a region.

    A model on the hub, which may not be here yet, is looked at when it is loaded.
    """
    if source_directory(variant, variant_file) is None:
        return
    layers = unloaded_layers(checkpoint_files(variant, variant_file))
    if layers:
        regions.region(region).refuse_unfit(layers, defaults)
