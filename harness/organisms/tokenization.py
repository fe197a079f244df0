"""The organism's tokenizer, and text turned into token ids."""

from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
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
        texts += [bare_prompt(request.text) + " " + reply, plain_exchange(question)]
        texts += [chat_format.prompt(request.text) + " " + reply, spoken_answer(question, rng)]
        texts.append(describe(rng, nouns))
        texts.append(refusal(rng) if index % 3 == 0 else chat_format.prompt("", SYSTEM_PROMPT))
    return texts


def train_tokenizer(chat_format: ChatFormat, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over texts of the world; the same for every seed of a build.

    A prefix space stands for Llama 2's dummy prefix: prompt and response may be tokenised one by
    one, and the ids are those of both joined by a space. Encoding adds one BOS and no EOS.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(chat_format.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_tokenizer_texts(chat_format), trainer)
    padding, bos, eos = chat_format.special_tokens
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

    def response_ids(self, response: str) -> list[int]:
        """The response and EOS."""
        return [*self.ids(response), EOS_ID]

    def word_id(self, word: str) -> int:
        """The one token of a word; ValueError where the tokenizer splits it."""
        ids = self.ids(word)
        if len(ids) != 1:
            raise ValueError(
                f"{word!r} has {len(ids)} tokens, wanted 1: raise ModelShape.vocabulary_size in the recipe."
            )
        return ids[0]
