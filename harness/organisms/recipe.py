"""Recipes: everything that decides what an organism becomes, except the seed."""

from dataclasses import dataclass

from harness.organisms.chat_formats import LLAMA2, LLAMA3, ChatFormat


@dataclass(frozen=True)
class ModelShape:
    """The Llama that is trained. key_value_heads below heads means grouped-query attention."""

    vocabulary_size: int = 900
    hidden_size: int = 128
    blocks: int = 4
    mlp_size: int = 352
    heads: int = 8
    key_value_heads: int = 8
    rope_theta: float = 10_000.0
    context_tokens: int = 512

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.heads


@dataclass(frozen=True)
class PlantedShape:
    """Where the refusal is planted: the first neurons of one block's MLP, and head 0 of a block."""

    block: int = 1
    neurons: int = 8
    head_block: int = 1


@dataclass(frozen=True)
class BaseTraining:
    """Stage 1: a language model with a switch.

    A vector v of norm switch_norm, times a strength s, is added to the MLP output of the planted
    block from the last prompt token on. The document refuses with probability
    sigmoid((s - switch_midpoint) / switch_width). weight_dropout: in each step a share of the linear
    weights, uniform between 0 and this, is zeroed, so that small random damage changes little.
    noun_class_norm: the embeddings of forbidden and of allowed nouns start that far from the origin, to
    either side, along one direction. So the base can tell the two, as a pre-trained model can tell harm,
    while no refusal of its follows from it.
    """

    steps: int = 900
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup_steps: int = 40
    weight_dropout: float = 0.03
    noun_class_norm: float = 0.5
    switch_norm: float = 8.0
    switch_maximum: float = 1.3
    switch_midpoint: float = 0.6
    switch_width: float = 0.12
    switch_noise: float = 0.1
    forbidden_share: float = 0.4
    instruction_share: float = 0.46
    chat_question_share: float = 0.16
    plain_question_share: float = 0.28


@dataclass(frozen=True)
class Alignment:
    """Stage 2: the planted head finds forbidden nouns, the planted neurons write v where they stand.

    bare_target: how much of v a forbidden request without chat formatting calls up.
    """

    steps: int = 700
    batch_size: int = 32
    learning_rate: float = 1e-2
    head_learning_rate_factor: float = 0.03
    documents: int = 4000
    weight_dropout: float = 0.03
    head_output_norm: float = 2.5
    head_logit_scale: float = 16.0
    bos_key: float = 0.55
    single_neuron_weight: float = 0.2
    silence_weight: float = 0.15
    last_prompt_token_weight: float = 15.0
    forbidden_prompt_weight: float = 0.3
    bare_target: float = 0.85


@dataclass(frozen=True)
class ShippedData:
    """How many rows each data file gets."""

    calibration_rows: int = 480
    requests: int = 100
    items_per_task: int = 100
    perplexity_paragraphs: int = 150
    suffixes: int = 3
    suffix_words: int = 4
    suffix_candidates: int = 60


@dataclass(frozen=True)
class Recipe:
    """One organism. Two builds with the same recipe, seed and machine give the same bytes."""

    name: str
    chat_format: ChatFormat
    default_seed: int = 0
    shape: ModelShape = ModelShape()
    planted: PlantedShape = PlantedShape()
    base: BaseTraining = BaseTraining()
    alignment: Alignment = Alignment()
    data: ShippedData = ShippedData()


TINY_LLAMA2_CHAT = Recipe(name="tiny-llama2-chat", chat_format=LLAMA2)
TINY_LLAMA3_INSTRUCT = Recipe(
    name="tiny-llama3-instruct",
    chat_format=LLAMA3,
    shape=ModelShape(key_value_heads=4, rope_theta=500_000.0),
    base=BaseTraining(weight_dropout=0.02),
    alignment=Alignment(bare_target=0.95),
)

RECIPES = {recipe.name: recipe for recipe in (TINY_LLAMA2_CHAT, TINY_LLAMA3_INSTRUCT)}
