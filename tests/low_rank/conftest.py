"""Calibration samples, and the inputs of all layers kept in float64: what the streamed Grams must agree with."""

from __future__ import annotations

import copy

import pytest
import torch

from harness.calibration.pairs import IGNORED, draw, read_pairs, tokenise
from harness.models.layers import linear_layers


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(draw(read_pairs(pairs_csv), 6, seed=0), loaded.tokenizer, 128)


def kept_inputs(model, samples, shift=0):
    """{layer name: X_in (d_in, n) float64} at the response tokens, or `shift` positions earlier."""
    model = copy.deepcopy(model).double()
    seen = {name: [] for name in linear_layers(model)}
    for sample in samples:
        chosen = (sample.labels != IGNORED).nonzero()[:, 0] - shift
        hooks = [
            layer.register_forward_hook(lambda _m, x, _y, name=name, chosen=chosen: seen[name].append(x[0][0][chosen]))
            for name, layer in linear_layers(model).items()
        ]
        with torch.no_grad():
            model(input_ids=sample.input_ids[None])
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(rows).mT for name, rows in seen.items()}
