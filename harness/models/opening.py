"""What every text of a model begins with: BOS where its tokenizer or its template puts one, and else nothing."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.own_template import own_template
from harness.models.templates import TEMPLATES
from harness.spec.variant import OWN_TEMPLATE

_ASKED = [{"role": "user", "content": "A request"}]


def opening(tokenizer: PreTrainedTokenizerBase, template: str = OWN_TEMPLATE) -> tuple[int, ...]:
    """(BOS,) or (): what stands before every prompt, text and calibration pair of a model.

    template: the variant's. Those that this package writes begin with BOS. Of a tokenizer's own, BOS is put where the
    template begins with it or the tokenizer adds it to plain text (Llama), and not where the token is one that
    begins every turn (ChatML's `<|im_start|>` in SmolLM2), or where there is none (Qwen2).
    Raises UserError for a template that needs BOS and a tokenizer without one.
    """
    bos = tokenizer.bos_token_id
    if template in TEMPLATES and bos is None:
        raise UserError(
            f"the tokenizer has no BOS token, and every prompt in the template {template!r} begins with one. "
            "Set bos_token in tokenizer_config.json, or chat_template: tokenizer in the variant's file"
        )
    if bos is None:
        return ()
    if template in TEMPLATES:
        return (bos,)
    prompt = _prompt_in_its_own_template(tokenizer)
    if bos in prompt:
        return (bos,) if prompt.index(bos) == 0 and prompt.count(bos) == 1 else ()
    return (bos,) if _ids(tokenizer, "A text", True)[:1] == [bos] else ()


def _prompt_in_its_own_template(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of one request; of no more, since Llama 2's own template writes BOS again for the next."""
    if not isinstance(tokenizer.chat_template, str):
        return []
    return _ids(tokenizer, own_template(tokenizer, _ASKED, add_generation_prompt=True), False)


def opened(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], begins: Sequence[int]) -> list[int]:
    """The ids behind what a text begins with, which is there once, whoever put it there.

    begins: as `opening` has it. Raises UserError where a text that begins with BOS holds another.
    """
    if not begins:
        return list(ids)
    (bos,) = begins
    body = list(ids[1:]) if list(ids[:1]) == [bos] else list(ids)
    if bos in body:
        raise UserError(
            f"the prompt holds the BOS token {tokenizer.bos_token!r} in its text: {tokenizer.decode(list(ids))[:80]!r}"
        )
    return [bos, *body]


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, add_special_tokens: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
