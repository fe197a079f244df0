"""Faults of prompts: another tokenizer, BOS missing or twice, another template, no system prompt."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from harness.faults.base import LOAD, UNLISTED, Fault
from harness.organisms.catalogue import organism_directory

_OTHER = {"tiny-llama2-chat": "tiny-llama3-instruct", "tiny-llama3-instruct": "tiny-llama2-chat"}
#: Places in the list of merges that change places.
_MERGES = (2, 200)


class _OfTheOther:
    """AutoTokenizer, with the folder of the other organism."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def from_pretrained(self, place: str, **options: Any) -> Any:
        """As transformers' own."""
        for name, other in _OTHER.items():
            if str(place) == str(organism_directory(name)):
                return self._original.from_pretrained(str(organism_directory(other)), **options)
        return self._original.from_pretrained(place, **options)


def _of_another_revision(original: Callable[..., Any]) -> Callable[..., Any]:
    """After the model was loaded and checked, its tokenizer is replaced by one in which two merges differ."""

    def load_variant(*arguments: Any) -> Any:
        loaded = original(*arguments)
        return replace(loaded, tokenizer=_with_two_merges_swapped(loaded.tokenizer))

    return load_variant


def _with_two_merges_swapped(tokenizer: Any) -> Any:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = content["model"]["merges"]
    one, other = _MERGES
    merges[one], merges[other] = merges[other], merges[one]
    changed = copy.deepcopy(tokenizer)
    changed._tokenizer = Tokenizer.from_str(json.dumps(content))
    return changed


def _without_bos(original: Callable[..., Any]) -> Callable[..., Any]:
    """The engine takes the first token for one that it adds by itself, and does not."""

    def generate(self: Any, requests: Any) -> Any:
        return original(self, [replace(request, prompt_ids=request.prompt_ids[1:]) for request in requests])

    return generate


def _with_two_bos(original: Callable[..., Any]) -> Callable[..., Any]:
    """The template writes a BOS and the engine adds another one."""

    def generate(self: Any, requests: Any) -> Any:
        doubled = [replace(each, prompt_ids=(each.prompt_ids[0], *each.prompt_ids)) for each in requests]
        return original(self, doubled)

    return generate


def _never_asked_for(original: Callable[..., Any]) -> Callable[..., Any]:
    """The evaluation's wish for a system prompt does not reach the template."""
    return lambda system_prompt, chat_template: original(False, chat_template)


def _of_another_family(original: Callable[..., Any]) -> Callable[..., Any]:
    """Prompts are written in the chat template of another family."""

    def formatter(tokenizer: Any, template: str, system_prompt: str) -> Any:
        return original(tokenizer, "llama-3" if template == "llama-2" else "llama-2", system_prompt)

    return formatter


def _suffix_twice(right: Callable[..., Any]) -> Callable[..., Any]:
    """The suffix is put behind the request by the evaluation, and once more by what it calls."""

    class Doubling:
        """The formatter, which is handed a suffix twice."""

        def __init__(self, own: Any) -> None:
            self._own = own

        def text(self, request: str, style: Any, suffix: str | None = None) -> Any:
            """As the formatter's own."""
            return self._own.text(request, style, suffix if suffix is None else f"{suffix} {suffix}")

    return lambda self, context: right(self, replace(context, formatter=Doubling(context.formatter)))


FAULTS = (
    Fault(
        id="tokenizer_of_another_model",
        number=10,
        title="Tokenizer of another model",
        says="tokenizer",
        stage="prompts",
        caught_by=(LOAD, "prompts/tokenizer"),
        replaces={"harness.models.loading:AutoTokenizer": _OfTheOther},
        cells=(),
    ),
    Fault(
        id="tokenizer_of_another_revision",
        number=10,
        title="Tokenizer of the same family, of another revision",
        says="tokenizer",
        stage="prompts",
        caught_by=(LOAD, "prompts/tokenizer"),
        replaces={"harness.runs.workbench:load_variant": _of_another_revision},
        cells=(),
    ),
    Fault(
        id="bos_missing",
        number=11,
        title="No BOS",
        says="without any",
        stage="prompts",
        caught_by=("prompts/one-bos",),
        replaces={"harness.engines.hf:HfEngine.generate": _without_bos},
        cells=(),
    ),
    Fault(
        id="bos_twice",
        number=11,
        title="Two BOS",
        says="with two or more",
        stage="prompts",
        caught_by=("prompts/one-bos",),
        replaces={"harness.engines.hf:HfEngine.generate": _with_two_bos},
        cells=(),
    ),
    Fault(
        id="system_prompt_lost",
        number=12,
        title="System prompt lost",
        says="it is in 0 of",
        stage="prompts",
        caught_by=("prompts/system-prompt",),
        replaces={"harness.models.prompts:PromptStyle": _never_asked_for},
        cells=(),
    ),
    Fault(
        id="template_of_another_family",
        number=12,
        title="The other family's chat template",
        says="template",
        stage="prompts",
        caught_by=(LOAD, "prompts/template"),
        replaces={"harness.runs.bench:PromptFormatter": _of_another_family},
        cells=(),
    ),
    Fault(
        id="suffix_twice",
        number=UNLISTED,
        title="An adversarial suffix put twice behind a request",
        says="more than a request with its suffix",
        stage="prompts",
        caught_by=("prompts/requests",),
        replaces={"harness.evaluations.base:TextEvaluation._plan": _suffix_twice},
        cells=(),
    ),
)
