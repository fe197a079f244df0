"""The tokenizer in a GGUF file: vocabulary, merges and special tokens from it, the splitting by its name for it.

A file holds no rules of splitting, only `tokenizer.ggml.pre`, the name of one of llama.cpp's (src/llama-vocab.cpp).
With another rule the same text becomes other tokens: digits, contractions, spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from harness.errors import UserError

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_ADDED = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _smollm() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


@dataclass(frozen=True)
class _Splitting:
    """How a text is split before merges apply.

    composed: whether it is brought to NFC before. whole_words: whether a word that is a token stays whole, whatever
    the merges say. opens: whether the tokenizer opens every text with BOS where the file says nothing of it.
    """

    split: Callable[[], pre_tokenizers.PreTokenizer]
    composed: bool = False
    whole_words: bool = False
    opens: bool = False


_OF_LLAMA_3 = _Splitting(lambda: _split(_LLAMA3), whole_words=True, opens=True)
#: By the name in the file.
_SPLITTINGS = {
    "gpt-2": _Splitting(lambda: _split(_GPT2)),
    "smollm": _Splitting(_smollm),
    "llama-bpe": _OF_LLAMA_3,
    "llama3": _OF_LLAMA_3,
    "qwen2": _Splitting(lambda: _split(_QWEN2), composed=True),
}


def tokenizer_of(facts: Mapping[str, Any], file: Path) -> PreTrainedTokenizerFast:
    """A GGUF file's tokenizer, with its chat template and its special tokens as the file's ids name them.

    facts: the file's keys and values. Raises UserError for another kind than byte-level BPE, for a splitting that is
    not known here, and for ids without a token.
    """
    kind, name = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or name not in _SPLITTINGS:
        raise UserError(
            f"{file}: its tokenizer is {kind!r}, splitting {name!r}; expected 'gpt2' (byte-level BPE) with one of "
            f"{', '.join(_SPLITTINGS)}: give a checkpoint of safetensors instead"
        )
    tokens, types = _tokens(facts, file)
    merges = [tuple(merge.split(" ", 1)) for merge in facts.get("tokenizer.ggml.merges", [])]
    splitting = _SPLITTINGS[name]
    try:
        vocab = {token: id for id, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=splitting.whole_words))
    except Exception as error:  # tokenizers raises Exception itself
        raise UserError(f"{file}: its merges do not go with its tokens: {error}") from None
    tokenizer.pre_tokenizer = splitting.split()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if splitting.composed:
        tokenizer.normalizer = normalizers.NFC()
    for wanted, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        texts = [token for token, type in zip(tokens, types, strict=True) if type == wanted]
        tokenizer.add_tokens([AddedToken(text, special=special, normalized=False) for text in texts])
    fast = _as_fast(tokenizer, tokens, facts, file)
    if facts.get("tokenizer.ggml.add_bos_token", splitting.opens) and fast.bos_token is not None:
        _put_bos_first(fast)
    return fast


def _tokens(facts: Mapping[str, Any], file: Path) -> tuple[list[str], list[int]]:
    tokens = facts.get("tokenizer.ggml.tokens", [])
    types = facts.get("tokenizer.ggml.token_type", [_NORMAL] * len(tokens))
    if len(set(tokens)) != len(tokens) or len(types) != len(tokens) or not tokens:
        raise UserError(
            f"{file}: {len(tokens)} tokens, {len(set(tokens))} of them different, {len(types)} types of tokens; "
            "expected as many of each, and at least one"
        )
    return tokens, types


def _as_fast(tokenizer: Tokenizer, tokens: list[str], facts: Mapping[str, Any], file: Path) -> PreTrainedTokenizerFast:
    named = {}
    for key, name in _ADDED.items():
        id = facts.get(f"tokenizer.ggml.{key}_token_id")
        if id is not None and not 0 <= id < len(tokens):
            raise UserError(f"{file}: its {name} is token {id} of {len(tokens)}; expected one that it has")
        if id is not None:
            named[name] = tokens[id]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **named)
    fast.chat_template = facts.get("tokenizer.chat_template")
    return fast


def _put_bos_first(fast: PreTrainedTokenizerFast) -> None:
    """What `add_bos_token` means: the tokenizer itself opens every text with BOS."""
    bos = fast.bos_token
    opening = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, fast.bos_token_id)]
    )
    byte_level = processors.ByteLevel(trim_offsets=False)
    fast.backend_tokenizer.post_processor = processors.Sequence([byte_level, opening])
