import torch

from harness.evaluations.subspace_similarity import Settings, _of_layer
from harness.receipts.subspaces import similarities
from harness.spec.measurement import Measurement

SETTINGS = Settings(kind="subspace_similarity", utility="u", safety="s", ranks=[2, 4])


def made(seed):
    drawn = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(12, 9, generator=drawn) for name in ("a", "b")}
    grams = []
    for _ in range(2):
        inputs = torch.randn(2, 40, 9, generator=drawn)
        grams.append({name: inputs[i].T @ inputs[i] for i, name in enumerate(weights)})
    return weights, tuple(grams)


def test_similarities_are_those_of_the_whole_spectra():
    weights, (utility, safety) = made(0)
    told = []
    for name, weight in weights.items():
        for rank, (figure, _) in _of_layer(SETTINGS, name, weight, utility[name], safety[name]).items():
            told.append(Measurement(metric=f"{SETTINGS.metric(rank)}/{name}", value=figure.value, n=figure.n))
    assert similarities(SETTINGS, weights, (utility, safety), told).holds
    for place in range(len(told)):
        other = [*told]
        other[place] = told[place].model_copy(update={"value": told[place].value + 0.01})
        found = similarities(SETTINGS, weights, (utility, safety), other)
        assert not found.holds
        assert told[place].metric in found.seen
    assert not similarities(SETTINGS, weights, (safety, safety), told).holds
