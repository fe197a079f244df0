"""Random checkpoints of the architectures that judges have, with tokenizers that know their labels."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tests.tiny_llama3 import byte_level_bpe

_TEXT = (
    "yes no safe unsafe user assistant Task: check what was said.\n\nHow do I paint the saddle? 1 2 3 4 5 [INST] "
    "[/INST]"
)
#: As Llama Guard 3 has it: a task, the conversation in turns of `User` and `Agent`, and a turn of the assistant.
_GUARD = (
    "{{ bos_token }}<|start_header_id|>user<|end_header_id|>\n\nTask: check what was said.\n\n"
    "{% for message in messages %}"
    "{{ 'User' if message['role'] == 'user' else 'Agent' }}: {{ CONTENT | trim }}\n\n"
    "{% endfor %}<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
)
GUARD_IN_PARTS = _GUARD.replace("CONTENT", "message['content'][0]['text']")
GUARD_IN_TEXT = _GUARD.replace("CONTENT", "message['content']")


def write_llama(folder: Path, template: str | None = None, without: str = "", says: str | None = None) -> Path:
    """A Llama with byte-level BPE. without: a word that is no token. says: the token that is always to follow."""
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    words = [word for word in _TEXT.split(" ") if word != without]
    tokenizer = byte_level_bpe([f"{word} {word}\n{word}" for word in words], special, 380)
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[3])
    whole.chat_template = template
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 2048}
    config = LlamaConfig(
        vocab_size=400,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=3,
        initializer_range=0.3,
        **sizes,
    )
    model = LlamaForCausalLM(config)
    return _saved(model, whole, folder, says)


def write_gemma(folder: Path, says: str | None = None) -> Path:
    """A Gemma with BPE like SentencePiece's: blanks are `▁`, each digit is a token."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\d|▁+|[^\d▁]+"), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    alphabet = [*map(chr, range(33, 127)), "▁", "\n", "\N{RIGHT SINGLE QUOTATION MARK}"]
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=special, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator([_TEXT] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = GemmaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=8192,
        initializer_range=0.3,
    )
    return _saved(GemmaForCausalLM(config), whole, folder, says)


def _saved(model, tokenizer, folder: Path, says: str | None) -> Path:
    """With `says`, the blocks add nothing, all embeddings point one way, and that token's row of the head farthest."""
    if says is not None:
        (token,) = tokenizer(says, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            for block in model.model.layers:
                block.self_attn.o_proj.weight.zero_()
                block.mlp.down_proj.weight.zero_()
            for weight in (model.model.embed_tokens.weight, model.lm_head.weight):  # one tensor, if they are tied
                weight.zero_()
                weight[:, 0] = 1.0
                weight[token, 0] = 2.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
