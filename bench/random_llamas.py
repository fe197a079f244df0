"""What is timed: random Llamas of any depth, and random calibration samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.calibration.pairs import IGNORED, Sample


@dataclass(frozen=True)
class Sizes:
    """Sizes of the models and of each calibration set. Prompts and responses have as many tokens as each other."""

    hidden_size: int = 128
    intermediate_size: int = 352
    attention_heads: int = 4
    vocabulary: int = 512
    samples: int = 32
    shortest_tokens: int = 24
    longest_tokens: int = 56

    def as_dict(self) -> dict[str, int]:
        """For the result file."""
        return asdict(self)


def random_llama(blocks: int, sizes: Sizes) -> LlamaForCausalLM:
    """A float32 Llama with random weights, the same for the same sizes, in evaluation mode."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=blocks,
        num_attention_heads=sizes.attention_heads,
        num_key_value_heads=sizes.attention_heads,
        max_position_embeddings=sizes.longest_tokens,
        initializer_range=0.05,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def random_samples(sizes: Sizes, seed: int) -> list[Sample]:
    """Random tokens, half of them response, of lengths that are uniform between the shortest and the longest."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(sizes.samples):
        half = int(torch.randint(sizes.shortest_tokens // 2, sizes.longest_tokens // 2 + 1, (), generator=generator))
        input_ids = torch.randint(3, sizes.vocabulary, (2 * half,), generator=generator)
        labels = input_ids.clone()
        labels[:half] = IGNORED
        samples.append(Sample(input_ids, labels))
    return samples
