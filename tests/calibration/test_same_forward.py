"""Models whose blocks in a row are not their forward pass are refused, whatever they are called."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GraniteConfig,
    GraniteForCausalLM,
)

from harness.calibration.same_forward import forward_difference, refuse_other_forward
from harness.errors import UserError

SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}


@pytest.mark.parametrize("which", ["loaded", "llama3"])
def test_a_llama_is_taken(which, request):
    model = request.getfixturevalue(which).model
    refuse_other_forward(model, "here")
    assert 0 <= forward_difference(model)[0] < 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=1.0)),
        lambda: GraniteForCausalLM(GraniteConfig(**SIZES, embedding_multiplier=3.0, logits_scaling=2.0)),
    ],
)
def test_an_architecture_that_does_more_between_its_blocks_is_refused(make):
    torch.manual_seed(0)
    with pytest.raises(UserError, match="expected a Llama, which does nothing between its blocks"):
        refuse_other_forward(make().eval(), "here")


def test_an_architecture_whose_blocks_take_something_else_is_refused_with_what_they_miss():
    model = Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, head_dim=8)).eval()
    with pytest.raises(UserError, match=r"Gemma3ForCausalLM cannot be run one after the other: .*'layer_type'"):
        refuse_other_forward(model, "here")


def test_a_model_in_bfloat16_is_taken(loaded):
    refuse_other_forward(loaded.model.to(torch.bfloat16), "here")
    assert forward_difference(loaded.model)[1] > 0
