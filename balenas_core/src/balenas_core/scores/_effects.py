"""What each choice adds to a score: a linear model of architectures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Pseudo-observations of no effect. Below one, a choice that was seen once would be believed.
_PENALTIES = np.logspace(0, 5, 26)


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects of features on a target, in standard deviations of the target.

    Args:
        values: One for each feature.
        explained: Share of the target's variance that they account for, in [0, 1].
        penalty: Of the ridge regression that found them.
    """

    values: Floats
    explained: float
    penalty: float


def ridge(features: Floats, target: Floats, penalty: float) -> Floats:
    """Return argmin_b |y - X b|^2 + penalty |b|^2, with the columns of X and y centred.

    Args:
        features: `n x p`-dim array X.
        target: `n`-dim array y.
        penalty: Positive.

    Returns:
        `p`-dim array; a column that never changes has zero.

    Example:
        >>> ridge(np.array([[1.0], [-1.0]]), np.array([3.0, 1.0]), penalty=2.0).tolist()
        [0.5]
    """
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    found: Floats = np.linalg.solve(gram, centred.T @ (target - target.mean()))
    return found


def effects(features: Floats, target: Floats) -> Effects:
    """Return the effects of features by ridge regression, its penalty by cross-validation.

    The penalty is the one of least generalised cross-validation error, at least one; where
    features say nothing about the target it is large and effects are near zero.

    Args:
        features: `n x p`-dim array, such as one-hot choices.
        target: `n`-dim array.

    References:
        Golub, Heath and Wahba 1979, "Generalized Cross-Validation as a Method for Choosing a
        Good Ridge Parameter", Technometrics, equation 1.4.
    """
    deviation = float(target.std())
    if deviation == 0:
        return Effects(np.zeros(features.shape[1]), 0.0, float(_PENALTIES[-1]))
    y = (target - target.mean()) / deviation
    left, singular, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    along = (left.T @ y) ** 2
    errors = [_validation_error(penalty, singular, along, len(y)) for penalty in _PENALTIES]
    penalty = float(_PENALTIES[int(np.argmin(errors))])
    kept = singular**2 / (singular**2 + penalty)
    explained = float((kept * (2 - kept) * along).sum() / len(y))
    return Effects(ridge(features, y, penalty), explained, penalty)


def _validation_error(penalty: float, singular: Floats, along: Floats, n: int) -> float:
    """Return |residual|^2 / n / (1 - df / n)^2, where |y|^2 = n and the intercept counts."""
    kept = singular**2 / (singular**2 + penalty)
    residual = n - float((kept * (2 - kept) * along).sum())
    free = n - 1 - float(kept.sum())
    return residual * n / free**2 if free > 0 else np.inf
