"""An answer of a Llama 3 ends with whichever of its stop tokens comes first, and holds none of them."""

import pytest

from harness.engines.base import Request
from harness.engines.hf import make
from harness.models.loading import load_checkpoint
from harness.models.prompts import stop_token_ids
from tests.tiny_llama3 import BOS, EOM, EOS, EOT, write_llama3_checkpoint

#: From each token to the next: three texts that end in one stop token each, and one that never ends.
CHAIN = {20: 21, 21: EOT, 30: 31, 31: 32, 32: EOS, 40: EOM, 50: 51, 51: 50}


@pytest.fixture
def chained(tmp_path):
    """A Llama 3 that writes CHAIN: its blocks write nothing, its head reads the last token alone."""
    write_llama3_checkpoint(tmp_path, tied=False)
    loaded = load_checkpoint(str(tmp_path))
    model = loaded.model
    for block in model.model.layers:
        block.self_attn.o_proj.weight.data.zero_()
        block.mlp.down_proj.weight.data.zero_()
    model.model.embed_tokens.weight.data.zero_()
    model.lm_head.weight.data.zero_()
    for direction, (token, following) in enumerate(CHAIN.items()):
        model.model.embed_tokens.weight.data[token, direction] = 1.0
        model.lm_head.weight.data[following, direction] = 1.0
    return loaded


def test_the_stop_tokens_are_those_of_tokenizer_and_generation_config(llama3):
    assert stop_token_ids(llama3.tokenizer, llama3.model.generation_config) == [EOS, EOM, EOT]
    llama3.model.generation_config.eos_token_id = EOT
    assert stop_token_ids(llama3.tokenizer, llama3.model.generation_config) == [EOS, EOT]


def test_an_answer_ends_with_any_stop_token_and_holds_none(chained):
    outputs = make(chained).generate([Request((BOS, first), 8) for first in (20, 30, 40, 50)])
    assert [output.token_ids for output in outputs] == [(21,), (31, 32), (), (51, 50) * 4]
    assert [output.finish_reason for output in outputs] == ["stop", "stop", "stop", "length"]
    assert not any("<|" in chained.tokenizer.decode(output.token_ids) for output in outputs)
