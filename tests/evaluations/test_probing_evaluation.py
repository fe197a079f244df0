import pytest

from harness.engines.hf import make
from harness.errors import UserError
from harness.evaluations.base import EvaluationContext
from harness.evaluations.probing import Evaluation, Settings
from harness.models.prompts import PromptFormatter
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


@pytest.fixture
def context(loaded, tmp_path):
    variant = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    (tmp_path / "bad").write_text("".join(f"red cat {i}\n" for i in range(14)), encoding="utf-8")
    (tmp_path / "good").write_text("".join(f"blue dogs {i}\n" for i in range(14)), encoding="utf-8")
    formatter = PromptFormatter(loaded.tokenizer, "llama-2", "be kind")
    return EvaluationContext(variant, make(loaded), formatter, lambda name: tmp_path / name, loaded.model)


SETTINGS = Settings(kind="probing", name="p", harmful="bad", harmless="good")


def test_every_head_has_a_measurement_and_the_promised_metrics_are_there(context):
    found = {m.metric: m for m in Evaluation(SETTINGS).measure(context).measurements}
    assert set(SETTINGS.metrics) < set(found)
    assert set(found) - set(SETTINGS.metrics) == {
        f"p_accuracy/model.layers.{block}.self_attn/head.{head}" for block in range(2) for head in range(4)
    }
    assert found["p_accuracy/model.layers.1.self_attn/head.3"].n == 8  # 2/7 of 14 and 14
    assert found["p_minimum_accuracy"].interval is None


def test_without_the_model_the_evaluation_says_so(context):
    from dataclasses import replace

    with pytest.raises(UserError, match="looks inside the model"):
        Evaluation(SETTINGS).measure(replace(context, model=None))
