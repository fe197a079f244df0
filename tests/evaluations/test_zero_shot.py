"""Accuracy where the model gives no likelihood at all."""

import torch

from harness import plugins
from harness.calibration.files import dataset_path
from harness.evaluations import zero_shot
from harness.evaluations._engine_language_model import EngineLanguageModel
from harness.evaluations.base import EvaluationContext
from harness.models.loading import load_tokenizer, load_variant
from harness.models.prompts import PromptFormatter
from harness.organisms.catalogue import organism_names
from harness.organisms.recipe import RECIPES
from harness.organisms.tokenization import Encoder
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


def test_a_model_that_overflows_has_no_valid_accuracy():
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant).model_copy(update={"zero_shot_tasks": ("tiny_facts",)})
    loaded = load_variant(variant, path)
    formatter = PromptFormatter(loaded.tokenizer, variant.chat_template, variant.system_prompt)
    engine = plugins.load("engines", "hf").make(loaded)
    context = EvaluationContext(variant, engine, formatter, lambda name: dataset_path(variant, path, name))
    settings = zero_shot.Settings(kind="zero_shot", limit=3)
    assert all(m.valid for m in zero_shot.evaluate(settings, context).measurements)
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    found = {m.metric: m for m in zero_shot.evaluate(settings, context).measurements}
    assert not found["accuracy_mean"].valid
    assert "not finite" in found["accuracy_tiny_facts"].reason


def test_lm_eval_scores_the_ids_that_the_organisms_were_trained_on():
    """Contexts of Llama 3 end in a blank line, which lm-eval moves into the continuation and must not lose."""
    for name in organism_names():
        path = locations.find_variant(name)
        variant = load_yaml_model(path, ModelVariant)
        tokenizer = load_tokenizer(variant, path)
        model = EngineLanguageModel(None, PromptFormatter(tokenizer, variant.chat_template, variant.system_prompt))
        encoder = Encoder(tokenizer, RECIPES[name].chat_format)
        chat = RECIPES[name].chat_format
        for request, choice in (("What is it?", "Sure, the answer is red."), ("Is it heavy?", "Sure, it is.")):
            prompt = chat.prompt(request, variant.system_prompt)
            delimiter = " " if chat.prefix_space else ""
            context, continuation = model._encode_pair(prompt, delimiter + choice)
            assert context + continuation == encoder.prompt_ids(prompt) + encoder.ids(choice)
