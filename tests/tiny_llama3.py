"""A random Llama 3 in miniature: tied embeddings, grouped queries, wide heads, scaled RoPE, several stop tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
)
BOS, EOS, START, END, EOM, EOT = range(6)
_PIECES = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEXT = "system user assistant\n\nHow do I paint a red house?\n\nI cannot do that. Be kind.\n\nSure: take a brush"
#: As in the hub's config.json, in the names that it has there.
ROPE = {
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}


def byte_level_bpe(texts: Sequence[str], special: Sequence[str], size: int) -> Tokenizer:
    """Byte-level BPE without a prefix space, of so many tokens; the first special one begins every text."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*texts] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A", special_tokens=[(special[0], 0)]
    )
    return tokenizer


def make_llama3_tokenizer(**changes: str) -> PreTrainedTokenizerFast:
    """Like the base model's, its EOS is not what ends a turn."""
    tokenizer = byte_level_bpe([_TEXT], SPECIAL, 300)
    named = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", **changes}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def write_llama3_checkpoint(folder: Path, tied: bool = True) -> None:
    """Hidden size 32, 4 query heads of size 16 in 2 groups; config.json in the hub's form."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=304,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        bos_token_id=BOS,
        eos_token_id=[EOS, EOM, EOT],
        initializer_range=0.3,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=BOS, eos_token_id=[EOS, EOM, EOT])
    model.save_pretrained(folder)
    make_llama3_tokenizer().save_pretrained(folder)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content.pop("rope_parameters", None)
    path.write_text(json.dumps({**content, **ROPE}))
