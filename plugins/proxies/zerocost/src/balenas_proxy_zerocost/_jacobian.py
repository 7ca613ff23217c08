"""Proxies made of the gradient of the summed logits in each input image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.network_batch import BatchPass, BatchPassProxy
from balenas_core.scores.network_pass import NetworkPass, score_pass
from balenas_core.scores.probing import score_or_worst

_K = 1e-5  # keeps logarithms and inverses finite; both papers' codes use this number
_MANY_CLASSES = 100


def jacov(network: nn.Module, batch: Batch) -> float:
    """Return how little the responses to different images are correlated.

    ``-sum over i of ( log(v_i + k) + 1 / (v_i + k) )``, ``v`` the eigenvalues of the
    correlation matrix of the rows ``J_b = d(sum of the logits)/d(image b)``, ``k`` = 1e-5. The
    network is in training mode. The largest possible value is about minus the batch size (no
    correlation).

    ``-inf`` if a row of ``J`` is constant (it has no correlation).

    References:
        Mellor, Turner, Storkey, Crowley, 2020, Neural architecture search without training,
        version 1, as in Abdelfattah et al., 2021 (jacob_cov). Deviation:
        eigenvalues of the symmetric matrix by ``eigvalsh``, where those codes use ``eig``.
    """
    return score_pass(network, batch, Jacov().attach)


def epe_nas(network: nn.Module, batch: Batch) -> float:
    """Return how the responses to images of one class are correlated, over the classes.

    ``s_c = sum over entries of log(|C_c| + k)``, ``C_c`` the correlation matrix of the rows
    ``J_b`` (as in ``jacov``) of the images of class ``c``, ``k`` = 1e-5. The score is
    ``sum over c of |s_c|``; for more than 100 classes it is
    ``sum over c, c' of |s_c / n_c - s_c' / n_c'| / (number of classes in the batch)``, ``n_c``
    the number of images.

    ``-inf`` if a row of ``J`` is constant. Says little if most classes have one image.

    References:
        Lopes, Alirezazadeh, Alexandre, 2021, EPE-NAS, as in NASLib: classes
        are counted from the logits. Deviations: none.
    """
    return score_pass(network, batch, EpeNas().attach)


def correlation(rows: Tensor) -> Tensor | None:
    """Return the Pearson correlation between rows in float64; None if a row is constant.

    A row counts as constant if its spread is within rounding of its own magnitude.
    """
    # Scaling a row changes no correlation, and keeps squares of tiny gradients from vanishing.
    scale = rows.abs().amax(dim=1, keepdim=True).double()
    if not bool((scale > 0).all()) or not bool(scale.isfinite().all()):
        return None
    scaled = rows.double() / scale
    centred = scaled - scaled.mean(dim=1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    rounding = torch.finfo(rows.dtype).eps * math.sqrt(rows.shape[1])
    if not bool((norms > rounding).all()):
        return None
    unit: Tensor = centred / norms
    return unit @ unit.T


def uncorrelatedness(responses: Tensor) -> float:
    """Return the score of ``jacov`` for any `images x ...`-dim responses."""
    matrix = correlation(responses.flatten(1))
    if matrix is None:
        return -math.inf
    values = torch.linalg.eigvalsh(matrix) + _K
    return score_or_worst(-(values.log() + 1 / values).sum())


def _epe_nas(jacobian: Tensor, labels: Tensor, classes: int) -> float:
    rows = jacobian.flatten(1)
    is_many = classes > _MANY_CLASSES
    scores = []
    for label in torch.unique(labels):
        matrix = correlation(rows[labels == label])
        if matrix is None:
            return -math.inf
        total = (matrix.abs() + _K).log().sum()
        scores.append(total / len(matrix) if is_many else total)
    values = torch.stack(scores)
    if is_many:
        return score_or_worst((values[:, None] - values).abs().sum() / len(values))
    return score_or_worst(values.abs().sum())


def _jacov(jacobian: Tensor, labels: Tensor, classes: int) -> float:
    del labels, classes
    return uncorrelatedness(jacobian)


class InputJacobian(BatchPassProxy):
    """A proxy that is a function of the summed logits' gradient in every image.

    Args:
        measure: ``_jacov`` or ``_epe_nas``: of that gradient, the labels and the number of classes.
        options: None; there are none.
        needs_labels: Whether it looks at the labels.
    """

    needs_gradients = True

    def __init__(
        self,
        measure: Callable[[Tensor, Tensor, int], float],
        options: None = None,
        *,
        needs_labels: bool = False,
    ) -> None:
        self._measure = measure
        self.needs_labels = needs_labels

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the images."""
        return lambda: self._measure(run.input_gradients, run.labels, run.logits.shape[-1])

    def attach_batch(self, run: BatchPass) -> Callable[[], Sequence[float]]:
        """Ask for the gradient in the images of every network."""
        return lambda: [
            self._measure(jacobian, run.labels, run.logits.shape[-1])
            for jacobian in run.input_gradients
        ]


Jacov = partial(InputJacobian, _jacov)
EpeNas = partial(InputJacobian, _epe_nas, needs_labels=True)
