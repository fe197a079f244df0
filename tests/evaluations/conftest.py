"""The context of an evaluation on the random Llama of two blocks."""

from __future__ import annotations

import pytest

from harness.engines.hf import make
from harness.evaluations.base import EvaluationContext
from harness.models.prompts import PromptFormatter
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


@pytest.fixture
def intact_context(loaded, tmp_path) -> EvaluationContext:
    """With the model, without regions and Grams; datasets are files of the test's own folder."""
    variant = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    formatter = PromptFormatter(loaded.tokenizer, "llama-2", "be kind")
    return EvaluationContext(variant, make(loaded), formatter, lambda name: tmp_path / name, loaded.model)
