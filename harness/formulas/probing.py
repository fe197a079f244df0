"""Linear probes of attention heads: one logistic regression for each head, all heads at once, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Of seven samples of a class, five train and two validate (appendix C.4).
TRAIN_SHARE = 5 / 7
#: Largest entry of the gradient at which a fit has converged, relative to the head's largest feature (at least 1).
GRADIENT_TOLERANCE = 1e-10
#: Armijo's constant: the part of the decrease predicted by the slope that a step has to reach.
SUFFICIENT_DECREASE = 1e-4


@dataclass(frozen=True)
class Split:
    """Indices of the samples that train (n_train,) and that validate (n_validation,), ascending."""

    train: Tensor
    validation: Tensor


@dataclass(frozen=True)
class LinearProbes:
    """Decision values are features @ weight + intercept, by head. weight: (heads, d). intercept: (heads,)."""

    weight: Tensor
    intercept: Tensor


def split_train_validation(labels: Tensor, seed: int) -> Split:
    """5:2, drawn for each class by itself, so that both parts hold the classes in the same ratio.

    labels: (n,) bool. Of the m samples of a class, round(5 m / 7) train; they are the first ones in
    numpy's default_rng(seed).permutation(m), drawn for the False class first and then, from the
    same generator, for the True class. Raises ValueError if a part would hold no sample of a class.
    """
    generator = np.random.default_rng(seed)
    train, validation = [], []
    for of_class in (~labels, labels):
        indices = of_class.nonzero()[:, 0]
        count = round(TRAIN_SHARE * len(indices))
        if not 0 < count < len(indices):
            raise ValueError(f"a class of {len(indices)} samples cannot be split 5:2; at least 2 are needed")
        order = torch.from_numpy(generator.permutation(len(indices)))
        train.append(indices[order[:count]])
        validation.append(indices[order[count:]])
    return Split(torch.cat(train).sort().values, torch.cat(validation).sort().values)


def fit_logistic_regression(features: Tensor, labels: Tensor, c: float = 1.0, max_steps: int = 100) -> LinearProbes:
    """The minimum, for each head, of  c * sum_i log(1 + exp(-s_i (w x_i + b))) + |w|^2 / 2,  s_i = +1 or -1.

    features: (n, heads, d). labels: (n,) bool. Computed in float64 by Newton's method from 0 with
    step halving, all heads in one batch; a head that has converged is left as it is. No random
    number enters. The intercept is not penalised, and c = 1, as in scikit-learn's defaults
    (LogisticRegression(C=1), whose own tolerance of 1e-4 is looser). The gradient meant by
    GRADIENT_TOLERANCE is that of the objective divided by c n.
    Raises ValueError for one class only, for features that are not finite, and without convergence.
    """
    if labels.all() or not labels.any():
        raise ValueError("a probe needs samples of both classes")
    if not features.isfinite().all():
        raise ValueError("the features of a probe must be finite")
    design = _with_constant(features)  # (heads, n, d + 1)
    heads, n, size = design.shape
    targets = labels.to(torch.float64).expand(heads, n)
    penalty = torch.full((size,), 1 / (c * n), dtype=torch.float64)
    penalty[-1] = 0.0
    tolerance = GRADIENT_TOLERANCE * design.abs().amax(dim=(1, 2))
    solution = torch.zeros(heads, size, dtype=torch.float64)
    for _ in range(max_steps):
        probability = torch.sigmoid(_decision_values(design, solution))
        gradient = torch.einsum("hnd,hn->hd", design, probability - targets) / n + penalty * solution
        unfinished = gradient.abs().amax(dim=1) > tolerance
        if not unfinished.any():
            return LinearProbes(solution[:, :-1], solution[:, -1])
        direction = -torch.linalg.solve(_hessian(design, probability, penalty), gradient)
        direction = direction * unfinished[:, None]
        slope = (gradient * direction).sum(dim=1)
        solution = solution + _step_lengths(design, targets, penalty, solution, direction, slope)[:, None] * direction
    raise ValueError(f"{int(unfinished.sum())} of {heads} probes did not converge in {max_steps} Newton steps")


def predictions(probes: LinearProbes, features: Tensor) -> Tensor:
    """(n, heads, d) -> (n, heads) bool: True where the decision value is above 0, as in scikit-learn."""
    solution = torch.cat([probes.weight, probes.intercept[:, None]], dim=1)
    return _decision_values(_with_constant(features), solution).T > 0


def validation_hits(features: Tensor, labels: Tensor, split: Split) -> Tensor:
    """(n_validation, heads) bool: whether each head's probe, fitted to the training part, is right.

    features: (n, heads, d). labels: (n,) bool. The validation accuracy of a head is the mean of its column.
    Source: Wei et al. 2024, section 4.1 and appendix C.4.
    """
    probes = fit_logistic_regression(features[split.train], labels[split.train])
    return predictions(probes, features[split.validation]) == labels[split.validation, None]


def _with_constant(features: Tensor) -> Tensor:
    """(n, heads, d) -> (heads, n, d + 1) float64, the last column 1."""
    by_head = features.to(torch.float64).transpose(0, 1)
    return torch.cat([by_head, torch.ones_like(by_head[..., :1])], dim=2)


def _decision_values(design: Tensor, solution: Tensor) -> Tensor:
    return torch.einsum("hnd,hd->hn", design, solution)


def _hessian(design: Tensor, probability: Tensor, penalty: Tensor) -> Tensor:
    """(heads, d + 1, d + 1), of the objective divided by c n."""
    weighted = design * (probability * (1 - probability) / design.shape[1])[..., None]
    # 1e-12 keeps it invertible where a long step makes every probability 0 or 1; it changes the path, not the minimum.
    return weighted.transpose(1, 2) @ design + torch.diag(penalty + 1e-12)


def _step_lengths(
    design: Tensor, targets: Tensor, penalty: Tensor, solution: Tensor, direction: Tensor, slope: Tensor
) -> Tensor:
    """(heads,): 1, halved until the objective has fallen enough, or by no more than rounding can hide."""
    value = _objective(design, targets, penalty, solution)
    rounding = 1e-14 * (1 + value.abs())
    lengths = torch.ones_like(value)
    for _ in range(40):
        tried = _objective(design, targets, penalty, solution + lengths[:, None] * direction)
        too_long = tried > value + SUFFICIENT_DECREASE * lengths * slope + rounding
        if not too_long.any():
            break
        lengths = torch.where(too_long, lengths / 2, lengths)
    return lengths


def _objective(design: Tensor, targets: Tensor, penalty: Tensor, solution: Tensor) -> Tensor:
    """(heads,): the objective divided by c n."""
    decision = _decision_values(design, solution)
    loss = torch.logaddexp(decision, torch.zeros_like(decision)) - targets * decision
    return loss.mean(dim=1) + (penalty * solution**2).sum(dim=1) / 2
