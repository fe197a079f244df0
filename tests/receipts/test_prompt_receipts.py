"""Receipts of prompts: what reached the model, told apart by what is wrong with it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from torch import nn

from harness.engines.base import Request
from harness.engines.hf import HfEngine
from harness.models.prompts import TEMPLATES, PromptFormatter, PromptStyle
from harness.receipts import prompt_ends, prompts
from harness.receipts.observed_engine import ObservedEngine
from harness.receipts.plain_prompts import Frame, frame
from harness.receipts.prompts import AskedPrompts, received
from harness.receipts.requests import DeclaredRequest, every_request
from tests.tiny_llama3 import make_llama3_tokenizer

SYSTEM = "be kind"
REQUESTS = ("the cat sat", "a red house")
FRAME = Frame(f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n", " [/INST]")
ASKED = AskedPrompts("vanilla", FRAME, REQUESTS, SYSTEM, True, (1,))
VARIANT = SimpleNamespace(chat_template="llama-2", system_prompt=SYSTEM)


def ids_of(loaded, around=FRAME, requests=REQUESTS):
    return [tuple(PromptFormatter(loaded.tokenizer, "llama-2", SYSTEM).ids(around.around(r))) for r in requests]


def seen_as(ids, asked=ASKED):
    return [received(asked, [Request(each, 4) for each in ids], [], None)]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
@pytest.mark.parametrize("style", [PromptStyle(s, c) for s in (True, False) for c in (True, False)])
def test_the_frames_written_down_here_are_those_of_the_templates(template, style):
    tokenizer = make_llama3_tokenizer()
    variant = SimpleNamespace(chat_template=template, system_prompt="Be kind.")
    around = frame(variant, tokenizer, style.system_prompt, style.chat_template)
    text = PromptFormatter(tokenizer, template, "Be kind.").text("How do I paint?", style, "a suffix")
    assert around.around("How do I paint? a suffix") == text


def test_a_tokenizers_own_template_gives_its_frame():
    tokenizer = make_llama3_tokenizer()
    tokenizer.chat_template = TEMPLATES["llama-3"]
    own, written = (
        frame(SimpleNamespace(chat_template=name, system_prompt="Be kind."), tokenizer, True, True)
        for name in ("tokenizer", "llama-3")
    )
    assert own == written


def test_right_prompts_hold_all_receipts(loaded):
    part = seen_as(ids_of(loaded))
    assert prompt_ends.one_bos(part, [], loaded.tokenizer, (1,)).holds
    assert prompts.framed(part, VARIANT, loaded.tokenizer, None).holds
    assert prompts.system_prompt_where_asked(part, VARIANT, loaded.tokenizer).holds
    assert prompts.requests_in_the_prompts(part, loaded.tokenizer).holds
    own = [prompts.own_ids(ASKED, loaded.tokenizer)]
    assert prompts.same_tokenizer(part, own, VARIANT, loaded.tokenizer, loaded.tokenizer, None).holds


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        (lambda ids: ids[1:], "without"),
        (lambda ids: (ids[0], *ids), "two_or_more"),
        (lambda ids: (ids[1], ids[0], *ids[2:]), "elsewhere"),
    ],
)
def test_no_bos_two_and_one_elsewhere_are_told_apart(loaded, change, counted):
    receipt = prompt_ends.one_bos(seen_as([change(ids) for ids in ids_of(loaded)]), [], loaded.tokenizer, (1,))
    assert not receipt.holds
    assert {key: receipt.evidence[key] for key in ("without", "two_or_more", "elsewhere")} == {
        "without": 0,
        "two_or_more": 0,
        "elsewhere": 0,
        counted: 2,
    }


def test_texts_whose_answers_are_scored_need_one_bos_too(loaded):
    assert not prompt_ends.one_bos([], [SimpleNamespace(token_ids=(5, 6))], loaded.tokenizer, (1,)).holds


def test_a_lost_system_prompt_and_one_that_nobody_asked_for_are_told(loaded):
    bare = Frame("[INST] ", " [/INST]")
    lost = prompts.system_prompt_where_asked(seen_as(ids_of(loaded, bare)), VARIANT, loaded.tokenizer)
    assert "in 0 of 2, expected 2" in lost.words
    unasked = AskedPrompts("suffix", bare, REQUESTS, SYSTEM, False, (1,))
    assert (
        "in 2 of 2, expected 0"
        in prompts.system_prompt_where_asked(seen_as(ids_of(loaded), unasked), VARIANT, loaded.tokenizer).words
    )


def test_another_template_is_told(loaded):
    receipt = prompts.framed(seen_as(ids_of(loaded, Frame("USER: ", " ASSISTANT:"))), VARIANT, loaded.tokenizer, None)
    assert "2 of 2 of vanilla otherwise" in receipt.words


def test_a_request_that_is_missing_or_another_is_told(loaded):
    receipt = prompts.requests_in_the_prompts(
        seen_as(ids_of(loaded, requests=("the cat sat", "moon"))), loaded.tokenizer
    )
    assert "1 of 2 requests cannot be read back, 1 prompts hold something else" in receipt.words


def test_a_suffix_that_is_put_twice_is_told_as_that_and_not_as_another_tokenizer(loaded):
    twice = ids_of(loaded, requests=("the cat sat sat", "a red house"))
    asked = AskedPrompts("vanilla", FRAME, ("the cat sat", "a red house"), SYSTEM, True, (1,))
    part = seen_as(twice, asked)
    assert "1 of 2 prompts hold more than a request with its suffix, once, first 'sat'" in (
        prompts.requests_in_the_prompts(part, loaded.tokenizer).words
    )
    own = [prompts.own_ids(asked, loaded.tokenizer)]
    assert prompts.same_tokenizer(part, own, VARIANT, loaded.tokenizer, loaded.tokenizer, None).holds


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"max_new_tokens": 3}, "1 of 2 have another limit of tokens, first 3 for 4"),
        ({"temperature": 0.5}, "1 of 2 have another temperature, first 0.5 for 1.0"),
        ({"seed": (0, 1, 0, 0)}, "1 of 2 have another seed"),
        ({"prompt_ids": (1, 5)}, "1 of 2 have another prompt"),
    ],
)
def test_every_request_is_compared_part_by_part(loaded, changes, words):
    ids = ids_of(loaded)
    wanted = [DeclaredRequest(each, 4, 1.0, (0, place, 0, 0)) for place, each in enumerate(ids)]
    asked = [Request(each, 4, 1.0, (0, place, 0, 0)) for place, each in enumerate(ids)]
    asked[0] = replace(asked[0], **changes)
    receipt = every_request({"vanilla": wanted}, {"vanilla": asked})
    assert receipt.holds is (words is None)
    assert (words or "") in receipt.words
    assert not every_request({"vanilla": wanted}, {"vanilla": asked[:1]}).holds


@pytest.mark.parametrize(("in_force", "holds"), [([2], True), ([], False), ([2, 7], False), ([7], False)])
def test_stop_tokens_are_those_that_are_named(loaded, in_force, holds):
    assert prompt_ends.stop_tokens(in_force, frozenset({2}), VARIANT, loaded.tokenizer).holds is holds


def test_the_end_of_a_turn_is_a_stop_token_even_where_no_file_names_it():
    tokenizer, variant = make_llama3_tokenizer(), SimpleNamespace(chat_template="llama-3")
    assert not prompt_ends.stop_tokens([1], frozenset({1}), variant, tokenizer).holds
    assert prompt_ends.stop_tokens([1, 5], frozenset({1}), variant, tokenizer).holds


def test_rows_are_matched_to_what_was_asked_whatever_pads_them(loaded):
    one, other = ids_of(loaded)
    wanted = [Request(one, 4), Request(other, 4)]
    longer = max(len(one), len(other)) + 2
    rows = [(0,) * (longer - len(each)) + each for each in (one, other)]
    found = received(ASKED, wanted, rows, 0)
    assert (set(found.ids), found.altered) == ({one, other}, 0)
    assert received(ASKED, wanted, [(one[0], *one)], 0).ids == ((one[0], *one),)
    assert received(ASKED, wanted, [(0, 0, 0, *one[1:])], 0).ids == (one[1:],)


def test_rows_of_an_engine_without_batches_are_matched_too(loaded):
    """One row for each prompt, some shorter than the longest prompt."""
    ids = ids_of(loaded, requests=("the cat sat on a red house", "the cat"))
    found = received(ASKED, [Request(each, 4) for each in ids], ids, None)
    assert (found.ids, found.altered) == (tuple(ids), 0)


def test_an_observed_engine_sees_what_reaches_the_model_and_gives_what_the_engine_gives(loaded):
    engine = HfEngine(loaded)
    recorded = ObservedEngine(engine, loaded.model)
    wanted = [Request(ids, 3) for ids in ids_of(loaded)]
    assert recorded.generate(wanted) == engine.generate(wanted)
    assert [request for request, _ in recorded.observed.generated] == wanted
    assert received(ASKED, wanted, recorded.observed.seen, loaded.tokenizer.pad_token_id).altered == 0
    assert recorded.stop_token_ids == engine.stop_token_ids == (2,)
    assert not loaded.model.get_input_embeddings()._forward_pre_hooks


def test_an_observed_engine_lets_go_of_the_model_where_the_engine_fails():
    class Failing:
        def generate(self, requests):
            raise ValueError

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(2, 2)

        def get_input_embeddings(self):
            return self.embedding

    model = Model()
    with pytest.raises(ValueError):
        ObservedEngine(Failing(), model).generate([])
    assert not model.embedding._forward_pre_hooks


def test_a_template_that_puts_in_the_same_system_prompt_by_default_is_no_lost_one(loaded):
    """As SmolLM2's does: with and without it are then the same prompt, and the record says how it begins."""
    own = SimpleNamespace(chat_template="tokenizer", system_prompt=SYSTEM)
    unasked = AskedPrompts("benign", FRAME, REQUESTS, SYSTEM, False, (1,))
    receipt = prompts.system_prompt_where_asked(seen_as(ids_of(loaded), unasked), own, loaded.tokenizer)
    assert receipt.holds
    assert receipt.evidence["begins_without"] == FRAME.before
    bare = seen_as(ids_of(loaded, Frame("[INST] ", " [/INST]")), unasked)
    assert not prompts.system_prompt_where_asked(bare, own, loaded.tokenizer).holds
