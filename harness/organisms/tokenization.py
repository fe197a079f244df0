"""The organism's tokenizer, and text turned into token ids."""

from dataclasses import dataclass
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness.organisms.chat_formats import SYSTEM_PROMPT, ChatFormat, bare_prompt
from harness.organisms.questions import draw_question, plain_exchange, spoken_answer
from harness.organisms.world import (
    ALLOWED_NOUNS,
    FORBIDDEN_NOUNS,
    answer,
    describe,
    draw_request,
    refusal,
)

PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
TRAINING_TEXTS = 6000


def _tokenizer_texts(chat_format: ChatFormat) -> list[str]:
    rng, nouns, texts = Random(0), ALLOWED_NOUNS + FORBIDDEN_NOUNS, []
    for index in range(TRAINING_TEXTS):
        request = draw_request(rng, nouns)
        reply = answer(request, rng)
        question = draw_question(rng, nouns)
        texts += [chat_format.joined(bare_prompt(request.text), reply), plain_exchange(question)]
        texts += [chat_format.joined(chat_format.prompt(request.text), reply), spoken_answer(question, rng)]
        texts.append(describe(rng, nouns))
        texts.append(refusal(rng) if index % 3 == 0 else chat_format.prompt("", SYSTEM_PROMPT))
    return texts


def train_tokenizer(chat_format: ChatFormat, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over texts of the world; the same for every seed of a build.

    Prompt and response may be tokenised one by one: the ids are those of both joined. Encoding adds one
    BOS and no EOS.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = _pre_tokenizer(chat_format)
    core.decoder = decoders.ByteLevel()
    if chat_format.prefix_space:
        core.decoder = decoders.Sequence([core.decoder, decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(chat_format.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_tokenizer_texts(chat_format), trainer)
    padding, bos, eos = chat_format.special_tokens[:3]
    core.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, BOS_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=padding,
        bos_token=bos,
        eos_token=eos,
        chat_template=chat_format.jinja,
        clean_up_tokenization_spaces=False,
    )


def _pre_tokenizer(chat_format: ChatFormat) -> pre_tokenizers.PreTokenizer:
    if chat_format.pieces is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=chat_format.prefix_space)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(chat_format.pieces), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=chat_format.prefix_space, use_regex=False),
        ]
    )


@dataclass(frozen=True)
class Encoder:
    """Encodes texts of one chat format with one tokenizer."""

    tokenizer: PreTrainedTokenizerFast
    chat_format: ChatFormat

    def ids(self, text: str) -> list[int]:
        """Token ids without BOS."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt_ids(self, prompt: str) -> list[int]:
        """BOS and the prompt."""
        return [BOS_ID, *self.ids(prompt)]

    def document_ids(self, text: str) -> list[int]:
        """BOS, a text that is no conversation, and EOS."""
        return [BOS_ID, *self.ids(text), EOS_ID]

    def response_ids(self, response: str, bare: bool) -> list[int]:
        """The response and what ends it: EOS after a bare request, in a chat the end of the turn."""
        return [*self.ids(response), EOS_ID if bare else self.turn_end_id]

    @property
    def turn_end_id(self) -> int:
        """The token that ends the assistant's turn."""
        return self.chat_format.special_tokens.index(self.chat_format.turn_end)

    @property
    def stop_ids(self) -> list[int]:
        """All tokens that end an answer."""
        return sorted({EOS_ID, self.turn_end_id})

    def word_id(self, word: str) -> int:
        """The one token of a word after a space; ValueError where the tokenizer splits it."""
        ids = self.ids(word if self.chat_format.prefix_space else f" {word}")
        if len(ids) != 1:
            raise ValueError(
                f"{word!r} has {len(ids)} tokens, wanted 1: raise ModelShape.vocabulary_size in the recipe."
            )
        return ids[0]
