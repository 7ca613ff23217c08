"""The condition number of the neural tangent kernel."""

from __future__ import annotations

import math

import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import batch_for, preserved, score_or_worst
from balenas_proxy_zerocost.options import NtkOptions


def ntk(network: nn.Module, batch: Batch, *, images: int | None = 16) -> float:
    """Return minus the condition number of the neural tangent kernel.

    ``-lambda_max / lambda_min`` of ``K_ij = <g_i, g_j>``, ``g_i`` the gradient of the sum of
    image ``i``'s logits in every parameter whose name holds ``weight``. The network is in
    training mode, so normalisations couple the images. Slow: one backward pass an image.

    ``-inf`` if the kernel is singular up to rounding.

    Args:
        network: The network, untouched afterwards.
        batch: The first ``images`` of it are used.
        images: Number of images; None for the whole batch.

    References:
        Chen, Gong, Wang, 2021, TE-NAS, equation 3. Deviation: negated, so that larger is better.
    """
    part = Batch(batch.images[:images], batch.labels[:images])
    with preserved(network):
        network.train()
        weights = [p for name, p in network.named_parameters() if "weight" in name]
        outputs = network(batch_for(network, part).images).flatten(1).sum(1)
        if not weights or not outputs.requires_grad:
            return -math.inf
        rows = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        output,
                        weights,
                        retain_graph=True,
                        allow_unused=True,
                        materialize_grads=True,
                    )
                ]
            ).double()
            for output in outputs
        ]
        stacked = torch.stack(rows)
        kernel = stacked @ stacked.T
        if not bool(kernel.isfinite().all()):
            return -math.inf
        eigenvalues = torch.linalg.eigvalsh(kernel)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if not smallest > largest * len(kernel) * torch.finfo(torch.float64).eps:
        return -math.inf
    return score_or_worst(-largest / smallest)


class Ntk(Proxy):
    """The ``ntk`` proxy; see ``ntk``."""

    needs_gradients = True

    def __init__(self, options: NtkOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return minus the kernel's condition number."""
        return ntk(network, batch, images=self._options.images)
