import pytest

from harness.errors import UserError
from harness.models.prompts import PromptFormatter, PromptStyle, with_one_bos
from tests.conftest import make_tokenizer


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
    assert with_one_bos(make_tokenizer(), [1, 5, 6]) == [1, 5, 6]


def test_a_bos_inside_the_text_is_refused(formatter):
    with pytest.raises(UserError, match="BOS"):
        formatter.ids("a <s> b")


def test_an_unknown_template_is_named(formatter):
    with pytest.raises(UserError, match="llama-9"):
        PromptFormatter(formatter.tokenizer, "llama-9", "").text("How?", PromptStyle(True, True))
