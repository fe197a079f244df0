"""What is learned of the model's own answers and of people's."""

import pytest

from harness.aligning.answers import learned, whole
from harness.aligning.data import Example
from harness.aligning.training import Answered


@pytest.mark.parametrize(
    ("text", "ended", "kept"),
    [
        ("A cat sleeps. It is warm.", True, "A cat sleeps. It is warm."),
        ("A cat sleeps. It is warm. Then the", False, "A cat sleeps. It is warm."),
        (
            "A cat sleeps. " + "It is a must-have for any event. " * 4,
            False,
            "A cat sleeps. It is a must-have for any event.",
        ),
        ("Here they are. 1. Apples\n2. Pears\n3.", False, "Here they are."),
        ("I-10, I-10, I-10, I-10, I-10, I-10, I-10", True, ""),
        ("No end in sight", False, ""),
        ("Luna", True, "Luna"),
    ],
)
def test_an_own_answer_is_learned_in_whole_sentences_up_to_where_it_repeats_itself(text, ended, kept):
    assert whole(text, ended, 0.1) == kept


def test_a_word_alone_is_learned_of_nobody_and_a_refusal_whatever_its_length():
    examples = [
        Example("Is it?", "Yes.", "self-instruct-seeds"),
        Example("Which one?", "It is the first.", "self-instruct-seeds"),
        Example("Tell me how.", "I cannot.", "refusals"),
        Example("Write.", None, "written"),
    ]
    own = [Answered("Write.", "Here you are.")]
    assert [each.response for each in learned(examples, own, 3)] == ["It is the first.", "I cannot.", "Here you are."]
