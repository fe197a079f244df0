"""The one place where prompts become token ids: always exactly one BOS."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from harness.errors import UserError

#: Chat templates that a variant can name instead of its tokenizer's own.
TEMPLATES = {
    "llama-2": (
        "{{ bos_token }}[INST] "
        "{% if messages[0]['role'] == 'system' %}<<SYS>>\n{{ messages[0]['content'] }}\n<</SYS>>\n\n{% endif %}"
        "{{ messages[-1]['content'] }} [/INST]"
    ),
}


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

    def text(self, request: str, style: PromptStyle, suffix: str | None = None) -> str:
        """The prompt without BOS. The bare request ends in a newline, as in the published code."""
        content = request if suffix is None else f"{request} {suffix}"
        if not style.chat_template:
            return content.strip() + "\n"
        messages = [{"role": "user", "content": content}]
        if style.system_prompt:
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        rendered = self.tokenizer.apply_chat_template(
            messages, chat_template=self._template(), tokenize=False, add_generation_prompt=True
        )
        return str(rendered).removeprefix(self.tokenizer.bos_token)

    def _template(self) -> str | None:
        if self.template == "tokenizer":
            return None
        if self.template not in TEMPLATES:
            raise UserError(
                f"no chat template is called {self.template!r}; there are tokenizer, {', '.join(TEMPLATES)}"
            )
        return TEMPLATES[self.template]

    def ids(self, prompt: str) -> list[int]:
        """[BOS] + tokens of the prompt."""
        return with_one_bos(self.tokenizer, token_ids(self.tokenizer, prompt))


def with_one_bos(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[int]:
    """The ids behind exactly one BOS, which every tokenizer that was loaded has (models/loading.py).

    Raises UserError if a BOS stands anywhere but at the start of the text.
    """
    bos = tokenizer.bos_token_id
    body = ids[1:] if ids[:1] == [bos] else ids
    if bos in body:
        raise UserError(
            f"the prompt holds the BOS token {tokenizer.bos_token!r} in its text: {tokenizer.decode(ids)[:80]!r}"
        )
    return [bos, *body]


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a text and nothing else: no BOS, no EOS."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, generation_config: object) -> list[int]:
    """All tokens that end an answer: the tokenizer's EOS and those of the generation config (`<|eot_id|>`)."""
    configured = getattr(generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return sorted({int(token) for token in [tokenizer.eos_token_id, *listed] if token is not None})
