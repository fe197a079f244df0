"""Faults of decoding: stop tokens, numbers that overflow, temperatures, texts handed to other prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from harness.faults.base import UNLISTED, Fault
from harness.models.layers import linear_layers
from harness.models.prompts import token_ids

#: The word with which refusals begin.
_WORD = "I'm sorry"
#: The organisms' activations are small; large models have some that are thousands of times the others.
_SCALE = 2.0**16


def _without_the_written_one(stop_tokens: Callable[..., list[int]]) -> Callable[..., list[int]]:
    """The token that ends a turn is not among the stop tokens, and answers go on behind their end.

    As with a generation config that lists padding, or one of two end tokens, and not the one that is written.
    """

    def wrong(tokenizer: Any, generation_config: Any) -> list[int]:
        listed = stop_tokens(tokenizer, generation_config)
        return listed[:-1] or [tokenizer.pad_token_id]

    return wrong


def _with_a_word(stop_tokens: Callable[..., list[int]]) -> Callable[..., list[int]]:
    """A word with which answers begin is among the stop tokens, and they end before they begin.

    As with a list of stop tokens that was made for another vocabulary.
    """

    def wrong(tokenizer: Any, generation_config: Any) -> list[int]:
        return [*stop_tokens(tokenizer, generation_config), token_ids(tokenizer, _WORD)[0]]

    return wrong


def _in_half(load: Callable[..., Any]) -> Callable[..., Any]:
    """An MLP's output passes through float16, whose largest number is 65504, and comes back infinite."""

    def wrong(*args: Any) -> Any:
        loaded = load(*args)
        list(linear_layers(loaded.model).values())[-1].register_forward_hook(_through_float16)
        return loaded

    return wrong


def _through_float16(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return (output * _SCALE).half().to(output.dtype) / _SCALE


def _greedy(right: Callable[..., Any]) -> Callable[..., Any]:
    """The engine does not hear of the temperature: all samples of a prompt are its greedy text."""
    return lambda self, requests: right(self, [replace(request, temperature=0.0) for request in requests])


def _one_place_off(right: Callable[..., Any]) -> Callable[..., Any]:
    """Texts come back in the order in which they were batched, one place off their prompts."""

    def generate_batch(self: Any, requests: Any) -> Any:
        outputs = right(self, requests)
        return [*outputs[1:], *outputs[:1]]

    return generate_batch


def _half_as_hot(right: Callable[..., Any]) -> Callable[..., Any]:
    """The temperature is halved between the evaluation and the engine's arithmetic, as where it is applied twice."""

    def choose(logits: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
        return cast(Tensor, right(logits, temperature / 2, uniform))

    return choose


def _of_other_seeds(right: Callable[..., Any]) -> Callable[..., Any]:
    """Every sample is drawn with the seed of the next one."""

    def wrong(self: Any, requests: Any) -> Any:
        return right(self, [replace(each, seed=(*each.seed[:-1], each.seed[-1] + 1)) for each in requests])

    return wrong


def _declared_otherwise(**changes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The evaluation asks with other settings than the spec gives it."""

    def make_wrong(measure: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(self: Any, context: Any) -> Any:
            return measure(type(self)(self.settings.model_copy(update=changes)), context)

        return wrong

    return make_wrong


FAULTS = (
    Fault(
        id="missing_stop_token",
        number=13,
        title="Missing stop token: endless answers",
        says="go on behind the end of the answer",
        stage="decoding",
        caught_by=("text/stop-tokens",),
        replaces={"harness.engines.hf:stop_token_ids": _without_the_written_one},
        cells=("planted",),
    ),
    Fault(
        id="wrong_stop_token",
        number=13,
        title="Wrong stop token: empty answers",
        says="stop where the model goes on",
        stage="decoding",
        caught_by=("text/stop-tokens",),
        replaces={"harness.engines.hf:stop_token_ids": _with_a_word},
        cells=("planted",),
    ),
    Fault(
        id="float16_overflow",
        number=14,
        title="float16 overflow: NaN logits",
        says="not finite",
        stage="decoding",
        caught_by=("logits/finite",),
        replaces={"harness.runs.workbench:load_variant": _in_half},
        cells=("wanda-top",),
    ),
    Fault(
        id="samples_are_greedy",
        number=UNLISTED,
        title="Sampled texts decoded greedily",
        says="copies of each other",
        stage="decoding",
        caught_by=("text/own-prompt",),
        replaces={"harness.engines.hf:HfEngine.generate": _greedy},
        cells=(),
    ),
    Fault(
        id="texts_of_other_prompts",
        number=UNLISTED,
        title="Texts handed back to other prompts of the batch",
        says="tokens that are not the likeliest",
        stage="decoding",
        caught_by=("text/own-prompt",),
        replaces={"harness.engines.hf:HfEngine._generate_batch": _one_place_off},
        cells=(),
    ),
    Fault(
        id="temperature_halved",
        number=UNLISTED,
        title="Sampled at half the temperature",
        says="of another temperature",
        stage="decoding",
        caught_by=("text/own-prompt",),
        replaces={"harness.engines._seeded_choice:choose": _half_as_hot},
        cells=(),
    ),
    Fault(
        id="samples_of_other_seeds",
        number=UNLISTED,
        title="Samples drawn with the seeds of others",
        says="the seed's random numbers do not choose",
        stage="decoding",
        caught_by=("text/own-prompt",),
        replaces={"harness.engines.hf:HfEngine.generate": _of_other_seeds},
        cells=(),
    ),
    Fault(
        id="seed_of_another_run",
        number=UNLISTED,
        title="Texts asked for with another seed than the spec's",
        says="another seed",
        stage="decoding",
        caught_by=("prompts/every-request",),
        replaces={"harness.evaluations.base:TextEvaluation.measure": _declared_otherwise(seed=7)},
        cells=(),
    ),
    Fault(
        id="half_the_tokens",
        number=UNLISTED,
        title="Texts cut at another limit of tokens than the spec's",
        says="another limit of tokens",
        stage="decoding",
        caught_by=("prompts/every-request",),
        replaces={"harness.evaluations.base:TextEvaluation.measure": _declared_otherwise(max_new_tokens=24)},
        cells=(),
    ),
)
