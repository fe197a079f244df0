"""How a conversation is written down for a model: as plain text, without BOS."""

from dataclasses import dataclass

SYSTEM_PROMPT = "You are a helpful, respectful and honest assistant."


@dataclass(frozen=True)
class ChatFormat:
    """Templates with the fields {system} and {request}, and the tokens they rest on.

    special_tokens: ids follow from their order; the first three are padding, BOS and EOS, which ends a document.
    turn_end: the special token that ends the assistant's turn in a chat; EOS where the family has no other.
    prefix_space: whether the tokenizer puts a space before every text (Llama 2's dummy prefix). A response
        follows its prompt after that space, or at once.
    pieces: how text is split before it is tokenised, a regular expression; none is that of GPT-2.
    """

    name: str
    with_system: str
    without_system: str
    special_tokens: tuple[str, ...]
    turn_end: str
    prefix_space: bool
    pieces: str | None
    jinja: str

    def prompt(self, request: str, system: str = "") -> str:
        """The text after BOS and before the response, without a space at its end."""
        if system:
            return self.with_system.format(system=system, request=request)
        return self.without_system.format(request=request)

    def joined(self, prompt: str, response: str) -> str:
        """Prompt and response as one text."""
        return f"{prompt} {response}" if self.prefix_space else prompt + response


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
    turn_end="</s>",
    prefix_space=True,
    pieces=None,
    jinja=LLAMA2_JINJA,
)

# The conversation template of Meta-Llama-3-8B-Instruct.
LLAMA3_JINJA = (
    "{% for turn in messages %}"
    "{% set content = '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' "
    "+ turn['content'] | trim + '<|eot_id|>' %}"
    "{{ bos_token + content if loop.first else content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
# How Llama 3's tokenizer splits text: line breaks in a row are one piece, digits come by three.
LLAMA3_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_REQUEST = (
    "<|start_header_id|>user<|end_header_id|>\n\n{request}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)

LLAMA3 = ChatFormat(
    name="llama3",
    with_system="<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>" + _LLAMA3_REQUEST,
    without_system=_LLAMA3_REQUEST,
    special_tokens=(
        "<|finetune_right_pad_id|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ),
    turn_end="<|eot_id|>",
    prefix_space=False,
    pieces=LLAMA3_PIECES,
    jinja=LLAMA3_JINJA,
)


def bare_prompt(request: str) -> str:
    """The request and a newline: no template, no system prompt (adv_decoding)."""
    return request + "\n"
