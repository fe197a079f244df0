"""How much memory the tensors of one pass through a Llama take, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT32, FLOAT64 = 4, 8


@dataclass(frozen=True)
class LlamaShape:
    """What decides the sizes of a Llama's tensors. `key_values` is heads * head size of keys (or of values)."""

    blocks: int
    hidden: int
    intermediate: int
    queries: int
    key_values: int
    vocabulary: int
    tied_embeddings: bool = False

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(d_out, d_in) of the seven linear layers of a block: q, k, v, o, gate, up, down."""
        return [
            (self.queries, self.hidden),
            (self.key_values, self.hidden),
            (self.key_values, self.hidden),
            (self.hidden, self.queries),
            (self.intermediate, self.hidden),
            (self.intermediate, self.hidden),
            (self.hidden, self.intermediate),
        ]

    @property
    def linear_weights(self) -> int:
        """Number of weights of all linear layers, which are those that are scored."""
        return self.blocks * sum(rows * columns for rows, columns in self.layer_shapes)

    @property
    def parameters(self) -> int:
        """Number of all parameters: linear layers, embeddings, head and norms."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        return self.linear_weights + embeddings + self.hidden * (2 * self.blocks + 1)

    @property
    def gram_inputs(self) -> list[int]:
        """d_in of the distinct inputs of a block, each of which has one Gram: q, k and v share theirs, gate and up."""
        return [self.hidden, self.queries, self.hidden, self.intermediate]


def activation_bytes(shape: LlamaShape, tokens: int, itemsize: int) -> int:
    """Activations that are kept from a forward pass until the backward pass has used them, head left out.

    For each token and block, in numbers of the model's dtype: 4 of the MLP (gate, its SiLU, up, their product), 6 of
    the hidden size and keys and values in attention and norms; the norms compute in float32, which adds 2 where the
    model's dtype has 16 bits. Counted in transformers 5.17 with torch's saved-tensor hooks, layer inputs included.
    """
    hidden = 6 if itemsize == FLOAT32 else 8
    numbers = 4 * shape.intermediate + hidden * shape.hidden + 2 * shape.key_values
    return tokens * shape.blocks * numbers * itemsize


def logit_bytes(shape: LlamaShape, predicted_tokens: int, itemsize: int, backward: bool) -> int:
    """Logits of so many tokens, in the model's dtype and in float32, their log-softmax, and their gradients."""
    copies = itemsize + (4 if backward else 2) * FLOAT32
    return predicted_tokens * shape.vocabulary * copies


def layer_gradient_bytes(shape: LlamaShape, examples_at_once: int) -> int:
    """The gradients of the largest layer that are held at once in float32, and their sum."""
    return max(rows * columns for rows, columns in shape.layer_shapes) * FLOAT32 * (examples_at_once + 2)


def score_bytes(shape: LlamaShape) -> int:
    """One importance score of every weight, in float32."""
    return shape.linear_weights * FLOAT32


def gram_bytes(shape: LlamaShape) -> int:
    """Gram matrices of all inputs of linear layers, in float64."""
    return shape.blocks * FLOAT64 * sum(size**2 for size in shape.gram_inputs)


def gram_product_bytes(shape: LlamaShape, tokens: int) -> int:
    """One batch for the widest input in float64: its inputs and their product."""
    widest = max(shape.gram_inputs)
    return widest * (widest + tokens) * FLOAT64


def key_value_bytes(shape: LlamaShape, tokens: int, itemsize: int) -> int:
    """The cache of keys and values of so many tokens."""
    return 2 * shape.blocks * shape.key_values * tokens * itemsize
