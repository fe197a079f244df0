"""What texts begin with, by tokenizer and template: BOS once, or nothing."""

from types import SimpleNamespace

import pytest

from harness.errors import UserError
from harness.models.opening import opened, opening
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.receipts.plain_prompts import before_answers, frame
from harness.receipts.plain_prompts import opening as plain_opening
from tests.conftest import make_tokenizer
from tests.tiny_llama3 import make_llama3_tokenizer

CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<s>system\nYou help.</s>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>\n' }}{% endfor %}"
    "{{ '<s>assistant\n' }}"
)
LLAMA = "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
WITHOUT = LLAMA.removeprefix("{{ bos_token }}")


def tokenizer_with(template, adds_bos=True, bos="<s>"):
    made = make_tokenizer()
    made.chat_template, made.bos_token = template, bos
    if not adds_bos:
        made.backend_tokenizer.post_processor = None
    return made


@pytest.mark.parametrize(
    ("template", "adds_bos", "bos", "begins"),
    [
        (LLAMA, True, "<s>", (1,)),
        (LLAMA, False, "<s>", (1,)),
        (WITHOUT, True, "<s>", (1,)),
        (WITHOUT, False, "<s>", ()),
        (CHATML, False, "<s>", ()),  # SmolLM2: what begins a turn is called BOS
        (CHATML, True, "<s>", ()),
        (WITHOUT, False, None, ()),  # Qwen2
        (None, True, "<s>", (1,)),
        (None, False, "<s>", ()),
    ],
)
def test_bos_stands_where_tokenizer_and_template_put_it(template, adds_bos, bos, begins):
    tokenizer = tokenizer_with(template, adds_bos, bos)
    assert opening(tokenizer) == begins
    assert plain_opening(SimpleNamespace(chat_template="tokenizer"), tokenizer) == begins


@pytest.mark.parametrize("template", ["llama-2", "llama-3", "llama-3.1"])
def test_a_named_template_begins_with_bos_whatever_the_tokenizer_adds(template):
    tokenizer = make_llama3_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    assert opening(tokenizer, template) == (tokenizer.bos_token_id,)
    assert plain_opening(SimpleNamespace(chat_template=template), tokenizer) == (tokenizer.bos_token_id,)
    tokenizer.bos_token = None
    with pytest.raises(UserError, match=r"no BOS token.*chat_template: tokenizer"):
        opening(tokenizer, template)


def test_a_prompt_in_chatml_keeps_the_token_that_begins_its_turns():
    """It was taken away as a BOS, and the prompt then refused for holding others."""
    formatter = PromptFormatter(tokenizer_with(CHATML, adds_bos=False), "tokenizer", "Be kind.")
    text = formatter.text("How?", PromptStyle(True, True))
    assert text == "<s>system\nBe kind.</s>\n<s>user\nHow?</s>\n<s>assistant\n"
    ids = formatter.ids(text)
    assert (ids[0], ids.count(1)) == (1, 3)
    around = frame(
        SimpleNamespace(chat_template="tokenizer", system_prompt="Be kind."), formatter.tokenizer, True, True
    )
    assert around.around("How?") == text


TURNS = "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>\n' }}{% endfor %}"
ASKED = TURNS + "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"


@pytest.mark.parametrize(
    ("template", "adds_bos", "text"),
    [
        (ASKED, False, "<s>assistant\n"),
        (CHATML, False, ""),  # it begins one, asked or not
        (WITHOUT, False, ""),
        (LLAMA, True, "<s>"),
    ],
)
def test_answers_are_judged_behind_what_begins_them_where_texts_begin_with_nothing(template, adds_bos, text):
    """A short right answer ("The Great Gatsby", behind nothing 9 nats a token) was called degenerate."""
    tokenizer = tokenizer_with(template, adds_bos)
    wanted = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert PromptFormatter(tokenizer, "tokenizer", "Be kind.").before_answers == wanted
    assert before_answers(SimpleNamespace(chat_template="tokenizer"), tokenizer) == wanted


def test_a_template_that_begins_every_pair_of_turns_with_bos_begins_a_prompt_with_one():
    """As Llama 2's own does: BOS, request, answer, EOS, BOS, request."""
    pairs = "{% for m in messages %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
    assert opening(tokenizer_with(pairs, adds_bos=False)) == (1,)


def test_a_text_without_opening_stays_as_it_is():
    assert opened(make_tokenizer(), [1, 5, 1], ()) == [1, 5, 1]
