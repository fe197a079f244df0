"""Sizes that a model's config.json gives, looked at before anything is made of them: no library does so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: The largest of each size; the largest open models have a tenth of it at most.
LARGEST = {
    "num_hidden_layers": 1_000,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
    "head_dim": 1 << 12,
    "vocab_size": 1 << 22,
    "max_position_embeddings": 1 << 28,
    "num_labels": 1 << 22,
}
#: Keys of a config and of each part of one: labels are the most of them, and ImageNet has 21,841.
MOST_KEYS = 1 << 16
#: Parameters of all the layers together, which a config without weights could ask for.
MOST_PARAMETERS = 1 << 42


def unfit_sizes(config: Any) -> list[str]:
    """What of a config's sizes no model has, each with its key; nothing of a key that is not there.

    A config may hold those of its parts, such as text_config: their sizes are looked at as well.
    """
    return list(_unfit(config)) if isinstance(config, Mapping) else ["expected a mapping with the sizes of a model"]


def _unfit(config: Mapping[str, Any]) -> Iterator[str]:
    if len(config) > MOST_KEYS:
        yield f"it has {len(config)} keys; expected {MOST_KEYS} at most"
        return
    for name, part in config.items():
        if isinstance(part, Mapping):
            yield from (f"{name}.{problem}" for problem in _unfit(part))
    unfit = False
    for key, most in LARGEST.items():
        size = config.get(key)
        if size is not None and (type(size) is not int or not 0 < size <= most):
            unfit, shown = True, repr(size) if len(repr(size)) <= 40 else f"{repr(size)[:40]}…"
            yield f"{key} is {shown}; expected an integer from 1 to {most}"
    sizes = [config.get(key) for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")]
    if not unfit and None not in sizes:
        layers, hidden, intermediate, vocabulary = map(int, filter(None, sizes))
        parameters = layers * hidden * (4 * hidden + 3 * intermediate) + 2 * vocabulary * hidden
        if parameters > MOST_PARAMETERS:
            yield f"its sizes make a model of {parameters:.3g} parameters; expected {MOST_PARAMETERS:.3g} at most"
