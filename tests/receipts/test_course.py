"""A fine-tuning's steps as hooks see them: its samples, its learning rate, its optimizer."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.calibration.pairs import read_pairs, tokenise
from harness.faults.seam import replaced
from harness.finetuning.fine_tuning import fine_tune
from harness.finetuning.training import step_gradients as right_gradients
from harness.models.layers import linear_layers
from harness.receipts.course import as_declared, observed
from harness.spec.finetuning import FineTuningSettings

METHODS = {"full": {"method": "full"}, "lora": {"method": "lora", "lora": {"r": 4, "alpha": 8}}}


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(read_pairs(pairs_csv), loaded.tokenizer, 128)


def course_of(loaded, samples, method="lora", dtype=torch.float32, masks=None, **changes):
    """The receipt of a fine-tuning of six samples, in steps of two batches of one, over two epochs."""
    settings = FineTuningSettings.model_validate(
        {
            "dataset": "d",
            "examples": 6,
            "epochs": 2,
            "batch_size": 1,
            "gradient_accumulation": 2,
            "learning_rate": 1e-2,
            "weight_decay": 0.1,
            **METHODS[method],
            **changes,
        }
    )
    model = copy.deepcopy(loaded.model).to(dtype)
    sequences = [(sample.input_ids.tolist(), sample.labels.tolist()) for sample in samples[:6]]
    plain = SimpleNamespace(settings=settings, samples=SimpleNamespace(sequences=sequences))
    masks = masks or {}
    with observed(model, plain, masks, "cell") as course:
        fine_tune(model, samples[:6], settings, masks or None, lambda share: None)
    assert not model.model._forward_pre_hooks
    return as_declared(course, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learning_rate_schedule": "linear", "warmup_steps": 2},
        {"learning_rate_schedule": "constant", "maximum_gradient_norm": 0.01, "learning_rate": 1e-4},
    ],
)
def test_the_course_that_was_declared_holds(loaded, samples, method, dtype, changes):
    receipt = course_of(loaded, samples, method, dtype, **changes)
    assert receipt.holds, receipt.words
    assert [(each.what, each.seen, each.of) for each in receipt.looked_at] == [
        ("steps", 6, 6),
        ("updates", 1, 6),
        ("steps' gradients", 5, 6),
    ]


def first_again(steps):
    def wrong(samples, settings):
        every = list(steps(samples, settings))
        return iter([(epoch, every[0][1]) for epoch, _ in every])

    return wrong


def half(steps):
    return lambda samples, settings: iter(list(steps(samples, settings))[:3])


def plain_gradient_descent(_right):
    return lambda leaves, lr, weight_decay: torch.optim.SGD(leaves, lr=lr, weight_decay=weight_decay)


def without_decay(right):
    return lambda leaves, lr, weight_decay: right(leaves, lr=lr, weight_decay=0.0)


WRONG = {
    "the first samples again": (
        "harness.finetuning.training:step_groups",
        first_again,
        "5 of 6 steps on other samples, first",
    ),
    "half of the steps": ("harness.finetuning.training:step_groups", half, "3 steps"),
    "half of the rate": (
        "harness.finetuning.training:learning_rate_factor",
        lambda right: lambda *arguments: 0.5 * right(*arguments),
        "6 of 6 steps at another learning rate, first step 1",
    ),
    "another optimizer": ("torch.optim:AdamW", plain_gradient_descent, "with other settings than AdamW's"),
    "no weight decay": ("torch.optim:AdamW", without_decay, "with other settings than AdamW's"),
}


@pytest.mark.parametrize(("target", "make_wrong", "words"), WRONG.values(), ids=WRONG)
def test_another_course_than_the_declared_one_is_told(loaded, samples, target, make_wrong, words):
    with replaced(target, make_wrong):
        receipt = course_of(loaded, samples)
    assert not receipt.holds
    assert words in receipt.seen


def test_a_step_whose_update_is_kept_in_16_bits_is_told(loaded, samples):
    def rounded(_right):
        def store(self):
            with torch.no_grad():
                for leaf in self.leaves:
                    leaf.copy_(leaf.bfloat16())

        return store

    with replaced("harness.finetuning.lora:LoraTraining.store", rounded):
        assert "an update in step" in course_of(loaded, samples).seen


def test_gradients_that_are_not_clipped_are_told(loaded, samples):
    with replaced("torch.nn.utils:clip_grad_norm_", lambda right: lambda *arguments: None):
        assert "not clipped" in course_of(loaded, samples, maximum_gradient_norm=1e-3).seen


def of_later_steps(change):
    """A fault that the first step does not show: `change` comes behind every later one's backward passes."""

    def make(right):
        def wrong(model, method, group, batch_size):
            loss = right(model, method, group, batch_size)
            wrong.steps += 1
            if wrong.steps > 1:
                change(model, method, group)
            return loss

        wrong.steps = 0
        return wrong

    return make


def lose_one(_model, method, _group):
    method.leaves[1].grad = None


def double_one(_model, method, _group):
    method.leaves[-1].grad *= 2


def leave_out_half(model, method, group):
    for leaf in method.leaves:
        leaf.grad = None
    right_gradients(model, method, group[:1], 1)


def train_on_prompts(model, method, group):
    for leaf in method.leaves:
        leaf.grad = None
    whole = [replace(each, labels=each.input_ids.clone()) for each in group]
    right_gradients(model, method, whole, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [lose_one, double_one, leave_out_half, train_on_prompts])
def test_gradients_of_another_loss_are_told(loaded, samples, method, change):
    with replaced("harness.finetuning.training:step_gradients", of_later_steps(change)):
        assert "that are not those of the loss of the answers, first in step" in course_of(loaded, samples, method).seen


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", range(1, 7))
def test_a_gradient_that_is_lost_in_a_single_step_is_told(loaded, samples, method, number):
    """Whether or not the step is drawn for the cell."""

    def in_one_step(right):
        def wrong(model, method, group, batch_size):
            loss = right(model, method, group, batch_size)
            wrong.steps += 1
            if wrong.steps == number:
                method.leaves[-1].grad = None
            return loss

        wrong.steps = 0
        return wrong

    with replaced("harness.finetuning.training:step_gradients", in_one_step):
        seen = course_of(loaded, samples, method).seen
    assert f"gradients that are 0 in one step and not in others, first in step {number}" in seen


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("changes", [{}, {"maximum_gradient_norm": 1e-3}])
def test_frozen_weights_have_no_gradient(loaded, samples, method, changes):
    name, layer = next(iter(linear_layers(loaded.model).items()))
    masks = {name: torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.3}
    receipt = course_of(loaded, samples, method, masks=masks, **changes)
    assert receipt.holds, receipt.words
