import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from harness.formulas.probing import (
    Split,
    fit_logistic_regression,
    predictions,
    split_train_validation,
    validation_hits,
)


def sample(n=60, heads=5, size=4, seed=0, scale=1.0):
    """Heads from uninformative to separable, and one that is constant."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(n, generator=generator) < 0.6
    features = torch.randn(n, heads, size, generator=generator, dtype=torch.float64)
    features[:, :, 0] += labels[:, None] * torch.linspace(0, 8, heads, dtype=torch.float64)
    features[:, 2] = 0.25
    return features * scale, labels


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("c", [1.0, 0.1])
def test_every_head_agrees_with_scikit_learn(scale, c):
    features, labels = sample(scale=scale)
    probes = fit_logistic_regression(features, labels, c)
    for head in range(features.shape[1]):
        reference = LogisticRegression(C=c, tol=1e-12, solver="newton-cholesky", max_iter=1000)
        reference.fit(features[:, head].numpy(), labels.numpy())
        size = max(1.0, np.abs(reference.coef_).max())
        assert np.abs(probes.weight[head].numpy() - reference.coef_[0]).max() < 1e-6 * size
        assert abs(probes.intercept[head].item() - reference.intercept_[0]) < 1e-5 * size


def test_predictions_are_those_of_scikit_learns_defaults():
    features, labels = sample(n=200, heads=8, size=6)
    hits = validation_hits(features, labels, split := split_train_validation(labels, 0))
    for head in range(8):
        reference = LogisticRegression().fit(features[split.train, head].numpy(), labels[split.train].numpy())
        expected = reference.predict(features[split.validation, head].numpy()) == labels[split.validation].numpy()
        assert hits[:, head].tolist() == expected.tolist()
    assert hits[:, 7].all()
    assert 0.3 < hits[:, 0].double().mean() < 0.8


def test_a_fit_by_hand():
    """x = -1, +1 with labels no, yes and C = 1: b = 0 by symmetry, and w solves w = 2 sigmoid(-w)."""
    probes = fit_logistic_regression(torch.tensor([[[-1.0]], [[1.0]]]), torch.tensor([False, True]))
    weight = probes.weight.item()
    assert weight == pytest.approx(2 / (1 + np.exp(weight)), abs=1e-9)
    assert probes.intercept.item() == pytest.approx(0.0, abs=1e-12)


def test_a_head_is_fitted_as_if_it_were_alone():
    features, labels = sample()
    together = fit_logistic_regression(features, labels)
    for head in range(features.shape[1]):
        alone = fit_logistic_regression(features[:, head : head + 1], labels)
        assert torch.allclose(alone.weight[0], together.weight[head], atol=1e-12, rtol=0)


def test_a_head_that_says_nothing_gives_the_majority():
    features, labels = torch.zeros(10, 1, 3), torch.arange(10) < 7
    probes = fit_logistic_regression(features, labels)
    assert torch.equal(probes.weight, torch.zeros(1, 3, dtype=torch.float64))
    assert probes.intercept.item() == pytest.approx(np.log(7 / 3))
    assert predictions(probes, features).all()


def test_the_split_is_5_to_2_within_each_class():
    labels = torch.arange(840) % 2 == 1
    split = split_train_validation(labels, 3)
    assert [int(labels[part].sum()) for part in (split.train, split.validation)] == [300, 120]
    assert [int((~labels[part]).sum()) for part in (split.train, split.validation)] == [300, 120]
    assert torch.equal(torch.cat([split.train, split.validation]).sort().values, torch.arange(840))
    again, other = split_train_validation(labels, 3), split_train_validation(labels, 4)
    assert torch.equal(split.train, again.train)
    assert not torch.equal(split.train, other.train)


def test_what_cannot_be_probed_is_refused():
    labels = torch.tensor([True, True, False])
    with pytest.raises(ValueError, match="at least 2"):
        split_train_validation(labels, 0)
    with pytest.raises(ValueError, match="both classes"):
        fit_logistic_regression(torch.zeros(2, 1, 1), torch.tensor([True, True]))
    with pytest.raises(ValueError, match="finite"):
        fit_logistic_regression(torch.full((3, 1, 1), torch.nan), labels)
    with pytest.raises(ValueError, match="did not converge in 1 "):
        fit_logistic_regression(*sample(), max_steps=1)


def test_the_validation_part_takes_no_part_in_the_fit():
    features, labels = sample(n=40)
    split = Split(torch.arange(0, 30), torch.arange(30, 40))
    flipped = labels.clone()
    flipped[30:] = ~labels[30:]
    assert torch.equal(validation_hits(features, labels, split), ~validation_hits(features, flipped, split))
