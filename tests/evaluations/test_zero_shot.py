"""Accuracy by lm-eval: without likelihoods, as its own evaluation gives it, and of tasks that were not fetched."""

import pytest
import torch
from datasets import Dataset

from harness import plugins
from harness.calibration.files import dataset_path
from harness.data.cache import LockedTask, record_task
from harness.data.lm_eval_tasks import items_sha256, refuse_other_items, refuse_other_kinds, task_manager
from harness.errors import UserError
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
    assert all(m.valid for m in zero_shot.Evaluation(settings).measure(context).measurements)
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    found = {m.metric: m for m in zero_shot.Evaluation(settings).measure(context).measurements}
    assert not found["accuracy_mean"].valid
    assert "not finite" in found["accuracy_tiny_facts"].reason


def test_the_figures_are_those_of_lm_evals_own_evaluation():
    """simple_evaluate does what `evaluate` here does without it, and asks about the machine besides."""
    import lm_eval

    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    loaded = load_variant(variant, path)
    formatter = PromptFormatter(loaded.tokenizer, variant.chat_template, variant.system_prompt)
    engine = plugins.load("engines", "hf").make(loaded)
    context = EvaluationContext(variant, engine, formatter, lambda name: dataset_path(variant, path, name))
    result = zero_shot.Evaluation(zero_shot.Settings(kind="zero_shot", limit=4)).measure(context)
    model = EngineLanguageModel(engine, formatter)
    theirs = lm_eval.simple_evaluate(
        model=model,
        tasks=zero_shot.tasks_with_data(zero_shot.task_places(context.variant, context.path_of)),
        num_fewshot=0,
        limit=4,
        bootstrap_iters=0,
        task_manager=task_manager(include_defaults=False),
    )
    ours = {measured.metric: measured.value for measured in result.measurements}
    assert len(theirs["results"]) == 6
    for task, figures in theirs["results"].items():
        assert figures["acc,none"] == pytest.approx(ours[f"accuracy_{task}"])


def test_a_task_of_lm_eval_that_was_not_fetched_or_does_not_exist_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'boolq'"):
        zero_shot.tasks_with_data(["boolqq"])
    with pytest.raises(UserError, match=r"the data of lm-eval's task 'boolq' cannot be loaded: .*aps/super_glue"):
        zero_shot.tasks_with_data(["boolq"])


def test_items_that_have_changed_since_they_were_fetched_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    (task,) = zero_shot.tasks_with_data([dataset_path(variant, path, "tiny_facts")])
    with pytest.raises(UserError, match="are not there"):
        refuse_other_items("tiny_facts", task)
    record_task("tiny_facts", LockedTask(sha256=items_sha256(task), items=100, version="1.0"))
    refuse_other_items("tiny_facts", task)
    record_task("tiny_facts", LockedTask(sha256="0" * 64, items=100, version="1.0"))
    with pytest.raises(UserError, match="the items of lm-eval's task 'tiny_facts' have changed"):
        refuse_other_items("tiny_facts", task)


def test_a_task_that_asks_for_texts_is_told_before_weights_are_loaded():
    declared = {"task": "written", "output_type": "generate_until", "doc_to_text": "q", "doc_to_target": "a"}
    items = {
        "custom_dataset": lambda **_: {"test": Dataset.from_list([{"q": "One?", "a": "One."}])},
        "test_split": "test",
    }
    metrics = {"metric_list": [{"metric": "exact_match"}]}
    (task,) = task_manager(include_defaults=False).load([{**declared, **items, **metrics}])["tasks"].values()
    with pytest.raises(UserError, match="'written' asks for generate_until; expected a task of multiple_choice"):
        refuse_other_kinds("written", task)


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
