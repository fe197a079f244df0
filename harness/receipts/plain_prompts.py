"""What a prompt has to look like, written down a second time without Jinja and without the formatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from harness.models.own_template import own_template
from harness.spec.variant import ModelVariant

_LLAMA_3_USER = "<|start_header_id|>user<|end_header_id|>\n\n"
_LLAMA_3_SYSTEM = "<|start_header_id|>system<|end_header_id|>\n\n"
_LLAMA_3_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
_LLAMA_3_END = "<|eot_id|>"
_LLAMA_3_ANSWER = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
#: The token that ends an answer in each template; None: whatever the tokenizer's EOS is.
TURN_ENDS = {"llama-2": None, "llama-3": "<|eot_id|>", "llama-3.1": "<|eot_id|>"}
#: A request that no template changes.
_MARK = "REQUEST"


@dataclass(frozen=True)
class Frame:
    """The text before and after a request, the opening left out."""

    before: str
    after: str

    def around(self, request: str) -> str:
        """The prompt of a request."""
        return f"{self.before}{request.strip()}{self.after}"


def frame(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase, system_prompt: bool, chat_template: bool) -> Frame:
    """What stands around a request in this style (table 2 of the paper)."""
    if not chat_template:
        return Frame("", "\n")
    system = variant.system_prompt if system_prompt else None
    if variant.chat_template == "llama-2":
        return Frame("[INST] " + (f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system is not None else ""), " [/INST]")
    if variant.chat_template == "llama-3":
        turn = f"{_LLAMA_3_SYSTEM}{system.strip()}{_LLAMA_3_END}" if system is not None else ""
        return Frame(turn + _LLAMA_3_USER, _LLAMA_3_ANSWER)
    if variant.chat_template == "llama-3.1":
        turn = f"{_LLAMA_3_SYSTEM}{_LLAMA_3_DATES}{(system or '').strip()}{_LLAMA_3_END}"
        return Frame(turn + _LLAMA_3_USER, _LLAMA_3_ANSWER)
    return _frame_of_own_template(variant, tokenizer, system)


def _frame_of_own_template(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase, system: str | None) -> Frame:
    """The frame that the tokenizer's own template makes."""
    turns = [{"role": "system", "content": system}] if system is not None else []
    rendered = own_template(tokenizer, [*turns, {"role": "user", "content": _MARK}], add_generation_prompt=True)
    before, _, after = rendered.rpartition(_MARK)
    return Frame(before.removeprefix(tokenizer.bos_token) if opening(variant, tokenizer) else before, after)


def opening(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What every text of a variant begins with, by the text of a prompt: (BOS,), or nothing.

    models/opening.py counts ids instead.
    """
    bos = tokenizer.bos_token
    if bos is None:
        return ()
    prompt = ""
    if variant.chat_template not in TURN_ENDS and tokenizer.chat_template is not None:
        prompt = own_template(tokenizer, [{"role": "user", "content": _MARK}], add_generation_prompt=True)
    if bos in prompt:
        begins = prompt.startswith(bos) and prompt.count(bos) == 1
    else:
        begins = variant.chat_template in TURN_ENDS or tokenizer.decode(tokenizer.encode(_MARK)[:1]) == bos
    return (cast(int, tokenizer.bos_token_id),) if begins else ()


def before_answers(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What an answer is judged behind: what texts begin with, or, if nothing, the end of a prompt in the own template.

    That end is what is there only where an answer is asked for; models/prompts.py compares texts instead of ids.
    """
    begins = opening(variant, tokenizer)
    if begins or variant.chat_template in TURN_ENDS:
        return begins
    turns = [{"role": "user", "content": _MARK}]
    asked = tokenizer.encode(own_template(tokenizer, turns, add_generation_prompt=True), add_special_tokens=False)
    said = tokenizer.encode(own_template(tokenizer, turns, add_generation_prompt=False), add_special_tokens=False)
    return tuple(asked[len(said) :]) if asked[: len(said)] == said else ()


def as_texts(ids: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase, begins: tuple[int, ...]) -> list[str]:
    """Prompts as text, without what they begin with. sentencepiece adds a space behind it."""
    texts = tokenizer.batch_decode([list(each) for each in ids], clean_up_tokenization_spaces=False)
    return [text.removeprefix(tokenizer.bos_token if begins else "").lstrip() for text in texts]
