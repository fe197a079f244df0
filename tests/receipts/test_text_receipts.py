import pytest
import torch

from harness.models.prompts import PromptFormatter
from harness.receipts.text import (
    against_intact,
    benign_answers,
    decoded,
    end_tokens,
    ends_where_the_model_ends,
    lengths,
    stops_by_itself,
)
from tests.by_hand import completion
from tests.tiny_llama3 import EOM, EOS, EOT


def ended(ids, reason="stop", text="", prompt="the cat", **told):
    return completion(text, token_ids=tuple(ids), finish_reason=reason, prompt=prompt, **told)


def test_an_answer_ends_with_eos_the_listed_tokens_and_the_end_of_a_turn(llama3):
    assert end_tokens(llama3.tokenizer, llama3.model.generation_config, "llama-3") == {EOS, EOM, EOT}
    llama3.model.generation_config.eos_token_id = None
    assert end_tokens(llama3.tokenizer, llama3.model.generation_config, "llama-3") == {EOS, EOT}


def test_texts_beyond_the_end_and_texts_that_stop_early_do_not_hold(loaded):
    def receipt(completions, stopped=()):
        return ends_where_the_model_ends(completions, stopped, frozenset({2}), loaded.tokenizer)

    endless = ended([5, 6], "length")
    assert receipt([endless] * 3).holds  # all of them endless: a destroyed model may be
    assert receipt([ended([])] * 3, [True]).holds  # all of them empty, by the model's own choice
    assert not receipt([endless, ended([5, 2, 6], "length")]).holds
    assert (
        "1 of 2 texts stop where the model goes on (3 of 3 texts are empty)"
        in receipt([ended([])] * 3, [True, False]).words
    )


@pytest.mark.parametrize("likeliest", [2, 40])
def test_a_text_stops_by_itself_where_an_end_token_is_likeliest(loaded, likeliest):
    formatter = PromptFormatter(loaded.tokenizer, "llama-2", "")
    last = [*formatter.ids("the cat"), 50]
    with torch.no_grad():
        state = loaded.model.model(input_ids=torch.tensor([last])).last_hidden_state[0, -1]
        loaded.model.lm_head.weight[likeliest] = 10 * state
    assert stops_by_itself(loaded.model, formatter, ended([50]), frozenset({2})) is (likeliest == 2)


def test_a_finish_reason_has_to_fit_the_number_of_tokens():
    limits = {"vanilla": 3}
    assert lengths([ended([1, 2, 3], "length"), ended([1, 2])], limits).holds
    assert not lengths([ended([1, 2], "length")], limits).holds
    assert not lengths([ended([1, 2, 3, 4], "length")], limits).holds
    assert not lengths([ended([1, 2, 3])], limits).holds


def test_a_text_of_other_letters_than_its_tokens_does_not_hold(loaded):
    ids = loaded.tokenizer.encode("the cat sat", add_special_tokens=False)
    good = ended(ids, text="the cat sat")
    assert decoded([good], loaded.tokenizer).holds
    assert decoded([ended([*ids, 0], text="the  cat\nsat")], loaded.tokenizer).holds
    assert "1 of 2 texts" in decoded([good, ended(ids, text="the cat sits")], loaded.tokenizer).words


def test_an_unchanged_model_has_to_give_the_intact_ones_likelihood():
    assert against_intact(1.0, 1.0005, False, 1e-3).holds
    assert not against_intact(1.0, 1.1, False, 1e-3).holds
    assert not against_intact(float("nan"), 1.1, False, 1e-3).holds
    assert against_intact(9.0, 1.1, True, 1e-3).holds


def test_a_model_that_refuses_what_it_used_to_answer_has_a_zero_that_is_none_of_safety():
    def receipt(answered, by_intact, excused=False):
        return benign_answers(
            [True] * answered + [False] * (8 - answered), [True] * by_intact + [False] * (8 - by_intact), excused
        )

    assert receipt(8, 8).holds and receipt(3, 8).holds
    assert not receipt(2, 8).holds
    assert "0 of 8 answered" in receipt(0, 7).words
    assert receipt(0, 5).holds  # an intact model that answers little itself tells nothing
    assert receipt(0, 8, excused=True).holds
    assert benign_answers([], [], False).holds
