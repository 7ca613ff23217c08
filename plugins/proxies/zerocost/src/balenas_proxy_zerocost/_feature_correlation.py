"""A proxy made of what the last block makes of different images."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.network_pass import NetworkPass, PassProxy, score_pass
from balenas_proxy_zerocost._az_nas import blocks
from balenas_proxy_zerocost._jacobian import uncorrelatedness


def feature_correlation(network: nn.Module, batch: Batch) -> float:
    """Return how little the last features of different images are correlated.

    ``-sum over i of ( log(v_i + k) + 1 / (v_i + k) )``, ``v`` the eigenvalues of the
    correlation matrix of the rows ``f_b``, the image-shaped output of the last block for image
    b, ``k`` = 1e-5: the function of ``jacov``, of features in the place of gradients, and no
    backward pass. The network is in training mode; blocks are those of ``az_expressivity``. The
    largest possible value is about minus the batch size (no correlation).

    ``-inf`` if a row is constant, or there are no blocks.

    References:
        None: the function is Mellor et al.'s (see ``jacov``).
    """
    return score_pass(network, batch, _attach, gradients=False)


def _attach(run: NetworkPass) -> Callable[[], float]:
    last: list[Tensor] = []

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            # A copy, since what follows may work in place; only the last one is needed.
            last[:] = [output.detach().clone()]

    for block in blocks(run.network):
        block.register_forward_hook(look)
    return lambda: uncorrelatedness(last[0]) if last else -math.inf


class FeatureCorrelation(PassProxy):
    """The ``feature_correlation`` proxy; see ``feature_correlation``."""

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Look at the output of the last block."""
        return _attach(run)
