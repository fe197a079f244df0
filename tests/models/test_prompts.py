import pytest
from tokenizers import processors

from harness.errors import UserError
from harness.models.opening import opened
from harness.models.prompts import PromptFormatter, PromptStyle, turn_end_token_id, wrapped
from tests.conftest import make_tokenizer
from tests.tiny_llama3 import BOS, END, EOS, EOT, make_llama3_tokenizer


@pytest.fixture
def formatter():
    return PromptFormatter(make_tokenizer(), "llama-2", "Be kind.")


@pytest.mark.parametrize(
    ("style", "suffix", "text"),
    [
        (PromptStyle(True, True), None, "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHow? [/INST]"),
        (PromptStyle(False, True), "now please", "[INST] How? now please [/INST]"),
        (PromptStyle(False, False), None, "How?\n"),
    ],
)
def test_prompts_read_as_table_2_says(formatter, style, suffix, text):
    assert formatter.text("How?", style, suffix) == text


def test_every_prompt_has_exactly_one_bos(formatter):
    for style in (PromptStyle(True, True), PromptStyle(False, False)):
        ids = formatter.ids(formatter.text("How?", style))
        assert ids[0] == 1
        assert ids.count(1) == 1


def test_a_bos_that_is_there_already_is_not_doubled():
    assert opened(make_tokenizer(), [1, 5, 6], (1,)) == [1, 5, 6]


def test_a_bos_inside_the_text_is_refused(formatter):
    with pytest.raises(UserError, match="BOS"):
        formatter.ids("a <s> b")


def test_a_tokenizer_that_gives_no_token_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=[], pair=["$A", "$B"])
    with pytest.raises(UserError, match=r"gives no token for a prompt of 3 characters.*post_processor"):
        PromptFormatter(tokenizer, "llama-2", "Be kind.").ids("abc")


def test_an_unknown_template_is_named(formatter):
    with pytest.raises(UserError, match="llama-9"):
        PromptFormatter(formatter.tokenizer, "llama-9", "").text("How?", PromptStyle(True, True))


TURN = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
OPEN = "<|start_header_id|>assistant<|end_header_id|>\n\n"
DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
SYSTEM, BARE = PromptStyle(True, True), PromptStyle(False, True)


@pytest.mark.parametrize(
    ("template", "style", "suffix", "text"),
    [
        ("llama-3", SYSTEM, None, TURN.format("system", "Be kind.") + TURN.format("user", "How?") + OPEN),
        ("llama-3", BARE, "now please", TURN.format("user", "How? now please") + OPEN),
        ("llama-3", PromptStyle(False, False), None, "How?\n"),
        ("llama-3.1", SYSTEM, None, TURN.format("system", DATES + "Be kind.") + TURN.format("user", "How?") + OPEN),
        ("llama-3.1", BARE, None, TURN.format("system", DATES) + TURN.format("user", "How?") + OPEN),
    ],
)
def test_prompts_of_llama_3_read_as_the_hubs_templates_write_them(template, style, suffix, text):
    assert PromptFormatter(make_llama3_tokenizer(), template, "Be kind.").text("How?", style, suffix) == text


@pytest.mark.parametrize("template", ["llama-3", "llama-3.1"])
@pytest.mark.parametrize("style", [SYSTEM, BARE])
def test_a_prompt_of_llama_3_has_one_bos_and_keeps_the_blank_line_at_its_end(template, style):
    formatter = PromptFormatter(make_llama3_tokenizer(), template, "Be kind.")
    ids = formatter.ids(formatter.text("How?", style))
    assert ids[0] == BOS
    assert ids.count(BOS) == 1
    assert ids[-2] == END
    assert formatter.tokenizer.decode(ids[-1:]) == "\n\n"


def test_a_template_of_3_1_does_not_know_what_day_it_is():
    """The hub's template of 3.2 calls strftime_now; ours hold no call at all."""
    from harness.models.prompts import TEMPLATES

    assert not any("strftime_now" in text or "date_string" in text for text in TEMPLATES.values())
    assert "26 Jul 2024" in TEMPLATES["llama-3.1"]


OWN = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>' + m['content'] }}"
    "{{ ' <|eot_id|>' if m['role'] == 'assistant' else '<|eom_id|>' }}{% endfor %}<|end_of_text|>"
)


def test_a_turn_ends_as_the_template_says_and_not_as_the_tokenizer_does():
    llama2, llama3 = make_tokenizer(), make_llama3_tokenizer()
    assert turn_end_token_id(llama2, "llama-2") == llama2.eos_token_id == 2
    assert (turn_end_token_id(llama3, "llama-3"), turn_end_token_id(llama3, "llama-3.1")) == (EOT, EOT)
    assert llama3.eos_token_id == EOS != EOT
    llama3.chat_template = OWN
    assert turn_end_token_id(llama3, "tokenizer") == EOT


@pytest.mark.parametrize(
    ("tokenizer", "template", "own", "words"),
    [
        (make_tokenizer, "llama-3", None, "no token '<|eot_id|>', which ends a turn of the template 'llama-3'"),
        (make_llama3_tokenizer, "tokenizer", "{{ messages[-1]['content'] }}.", "ends an answer with no special token"),
        (make_llama3_tokenizer, "tokenizer", None, "has no chat template of its own"),
    ],
)
def test_a_template_that_never_ends_a_turn_is_refused(tokenizer, template, own, words):
    made = tokenizer()
    made.chat_template = own
    with pytest.raises(UserError) as caught:
        turn_end_token_id(made, template)
    assert words in str(caught.value)


def test_a_tokenizer_without_eos_ends_no_turn():
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no EOS token"):
        turn_end_token_id(tokenizer, "llama-2")


@pytest.mark.parametrize("template", ["llama-2", "llama-3", "llama-3.1"])
@pytest.mark.parametrize("style", [SYSTEM, BARE])
@pytest.mark.parametrize("request_text", ["How?", "Sort:\n\nb, a {{ x }} <y>"])
def test_a_request_is_wrapped_without_a_tokenizer_as_with_one(template, style, request_text):
    tokenizer = make_tokenizer() if template == "llama-2" else make_llama3_tokenizer()
    wanted = PromptFormatter(tokenizer, template, "Be kind.").text(request_text, style)
    assert wrapped(request_text, template, "Be kind." if style.system_prompt else None) == wanted


def test_the_template_of_a_tokenizer_cannot_be_written_without_it():
    with pytest.raises(UserError, match="without a tokenizer; expected chat_template to be one of llama-2"):
        wrapped("How?", "tokenizer", None)
