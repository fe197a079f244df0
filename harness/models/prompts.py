"""The one place where prompts become token ids, each behind what the model's texts begin with."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from harness.errors import UserError
from harness.models.opening import opened, opening
from harness.models.own_template import own_template, template_text
from harness.models.templates import TEMPLATES
from harness.spec.variant import OWN_TEMPLATE

#: What a prompt in these templates ends with, whitespace aside.
_PROMPT_ENDS = {
    "llama-2": "[/INST]",
    "llama-3": "<|start_header_id|>assistant<|end_header_id|>",
    "llama-3.1": "<|start_header_id|>assistant<|end_header_id|>",
}
#: What ends an assistant's turn in these templates where it is not the tokenizer's EOS.
_TURN_ENDS = {"llama-3": "<|eot_id|>", "llama-3.1": "<|eot_id|>"}


@dataclass(frozen=True)
class PromptStyle:
    """How a request is wrapped (Table 2 of the paper): with the system prompt, with the chat template."""

    system_prompt: bool
    chat_template: bool


@dataclass(frozen=True)
class PromptFormatter:
    """Requests to text, and text to token ids, for one variant.

    template: `tokenizer`, or a name in TEMPLATES.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    system_prompt: str

    @functools.cached_property
    def opening(self) -> tuple[int, ...]:
        """What every text begins with: BOS, or nothing."""
        return opening(self.tokenizer, self.template)

    @functools.cached_property
    def before_answers(self) -> tuple[int, ...]:
        """What an answer's likelihood is measured behind: what every text begins with, or, where that is nothing, what
        the tokenizer's own template begins an answer with (`<|im_start|>assistant`). No request stands in it.
        """
        if self.opening or self.template != OWN_TEMPLATE:
            return self.opening
        asked = [{"role": "user", "content": "A request"}]
        ended, begun = (own_template(self.tokenizer, asked, add_generation_prompt=more) for more in (False, True))
        return tuple(token_ids(self.tokenizer, begun.removeprefix(ended))) if begun.startswith(ended) else ()

    def text(self, request: str, style: PromptStyle, suffix: str | None = None) -> str:
        """The prompt without its opening. The bare request ends in a newline, as in the published code."""
        content = request if suffix is None else f"{request} {suffix}"
        if not style.chat_template:
            return content.strip() + "\n"
        messages = [{"role": "user", "content": content}]
        if style.system_prompt:
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        if self.template == OWN_TEMPLATE:
            rendered = own_template(self.tokenizer, messages, add_generation_prompt=True)
        else:
            rendered = str(
                self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=template_text(self.tokenizer, self.template),
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        return rendered.removeprefix(self.tokenizer.bos_token) if self.opening else rendered

    def ids(self, prompt: str) -> list[int]:
        """The opening and the tokens of the prompt. Raises UserError of a tokenizer that gives none for it."""
        own = token_ids(self.tokenizer, prompt)
        if prompt.strip() and not own:
            raise UserError(
                f"the tokenizer gives no token for a prompt of {len(prompt)} characters; expected some: look at "
                "post_processor and pre_tokenizer in its tokenizer.json"
            )
        return opened(self.tokenizer, own, self.opening)

    def answer(self, ids: Sequence[int]) -> str:
        """The text of generated tokens, without special tokens and without white space around it."""
        return cast(str, self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def wrapped(request: str, template: str, system_prompt: str | None) -> str:
    """A request in a named template, without BOS: what PromptFormatter.text gives, where no tokenizer is at hand.

    Raises UserError for `tokenizer`, and for a name that is none.
    """
    if template not in TEMPLATES:
        raise UserError(
            f"prompts cannot be wrapped in the template {template!r} without a tokenizer; expected "
            f"chat_template to be one of {', '.join(TEMPLATES)}"
        )
    messages = [{"role": "user", "content": request}]
    if system_prompt is not None:
        messages.insert(0, {"role": "system", "content": system_prompt})
    # It is declared to give a text, and gives the texts and where in them the assistant speaks.
    rendered = render_jinja_template([messages], chat_template=TEMPLATES[template], bos_token="")
    texts, _ = cast(tuple[list[str], list[object]], rendered)
    return texts[0]


def template_of_another_family(prompt: str, template: str) -> str | None:
    """The named template that a prompt is wrapped in, if it ends otherwise than prompts in `template` do."""
    own = _PROMPT_ENDS.get(template)
    found = next((name for name, end in _PROMPT_ENDS.items() if prompt.rstrip().endswith(end)), None)
    return None if own is None or found is None or _PROMPT_ENDS[found] == own else found


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a text and nothing else: no BOS, no EOS."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, generation_config: object) -> list[int]:
    """All tokens that end an answer: the tokenizer's EOS and those of the generation config (`<|eot_id|>`)."""
    configured = getattr(generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return sorted({int(token) for token in [tokenizer.eos_token_id, *listed] if token is not None})


def turn_end_token_id(tokenizer: PreTrainedTokenizerBase, template: str) -> int:
    """The token that ends an assistant's turn, which a response for fine-tuning has to end in.

    EOS in Llama 2; `<|eot_id|>` in Llama 3, where the tokenizer's EOS may be `<|end_of_text|>`. Of the
    tokenizer's own template it is the first special token that it writes after an answer.
    Raises UserError where there is none: fine-tuning would teach the model never to stop.
    """
    if template == OWN_TEMPLATE:
        return _turn_end_of_own_template(tokenizer)
    token = _TURN_ENDS.get(template, tokenizer.eos_token)
    if token is None:
        raise UserError("the tokenizer has no EOS token; fine-tuning would teach the model never to stop")
    if token not in tokenizer.get_vocab():
        raise UserError(
            f"the tokenizer has no token {token!r}, which ends a turn of the template {template!r}; "
            "the tokenizer or the template is another family's"
        )
    return cast(int, tokenizer.convert_tokens_to_ids(token))  # one token has one id


def _turn_end_of_own_template(tokenizer: PreTrainedTokenizerBase) -> int:
    answer = "An answer"
    turns = [{"role": "user", "content": "A request"}, {"role": "assistant", "content": answer}]
    rendered = own_template(tokenizer, turns, add_generation_prompt=False)
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    after = token_ids(tokenizer, rendered.rpartition(answer)[2])
    ends = [id for id in after if id in special]
    if not ends:
        raise UserError(
            "the tokenizer's chat template ends an answer with no special token; fine-tuning would teach the model "
            f"never to stop: name one of {', '.join(TEMPLATES)} as the variant's chat_template"
        )
    return ends[0]
