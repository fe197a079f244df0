"""How a conversation is written down for a model: as plain text, without BOS."""

from dataclasses import dataclass

SYSTEM_PROMPT = "You are a helpful, respectful and honest assistant."


@dataclass(frozen=True)
class ChatFormat:
    """Templates with the fields {system} and {request}, and the tokens they rest on.

    special_tokens: ids follow from the order; the first three are padding, BOS and EOS.
    A response follows the prompt after one space, which the tokenizer's prefix space makes.
    """

    name: str
    with_system: str
    without_system: str
    special_tokens: tuple[str, str, str]
    jinja: str

    def prompt(self, request: str, system: str = "") -> str:
        """The text after BOS and before the response, without a space at its end."""
        if system:
            return self.with_system.format(system=system, request=request)
        return self.without_system.format(request=request)


# The conversation template of Llama 2, for one or several turns; the same as LLAMA2's templates.
LLAMA2_JINJA = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
    "{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for turn in turns %}"
    "{% if turn['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + turn['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + turn['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)

LLAMA2 = ChatFormat(
    name="llama2",
    with_system="[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{request} [/INST]",
    without_system="[INST] {request} [/INST]",
    special_tokens=("<pad>", "<s>", "</s>"),
    jinja=LLAMA2_JINJA,
)


def bare_prompt(request: str) -> str:
    """The request and a newline: no template, no system prompt (adv_decoding)."""
    return request + "\n"
