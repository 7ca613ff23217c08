"""Proxies that look at the features inside a network."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import batch_for, preserved, score_or_worst
from balenas_proxy_zerocost._draws import draw_weights, images_for, normal
from balenas_proxy_zerocost.options import MecoOptions, ZenOptions

_GLOBAL_POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def meco(
    network: nn.Module,
    batch: Batch,
    *,
    image: Literal["gaussian", "batch"] = "gaussian",
    size: int | None = 64,
    modules: Literal["all", "leaves"] = "all",
    seed: int = 0,
) -> float:
    """Return the sum over modules of the smallest eigenvalue of their channels' correlation.

    Each module that returns a tensor counts, as often as it is called: the correlation matrix
    of its channels over the pixels of one image, entries that are not finite (a constant
    channel) set to 0. The network is in training mode. 0 if no module's channels are
    independent.

    Args:
        network: The network, untouched afterwards.
        batch: Gives the shape, and the image for ``image="batch"`` (its first).
        image: One standard-normal image, or one of the batch's.
        size: Height and width of the normal image; None for those of the batch's.
        modules: ``"all"`` counts containers too, whose output is that of their last member;
            ``"leaves"`` only modules without children.
        seed: Seed of the normal image.

    References:
        Jiang, Wang, Bie, 2023, MeCo; containers, 64 x 64 pixels and the treatment of constant
        channels as in the released code. Deviation: a feature that is not finite makes the
        score ``-inf``.
    """
    with preserved(network), torch.no_grad():
        network.train()
        images = batch_for(network, Batch(batch.images[:1], batch.labels[:1])).images
        if image == "gaussian":
            shape = images.shape if size is None else (1, images.shape[1], size, size)
            images = normal(tuple(shape), images, Generator().manual_seed(seed))
        values: list[float] = []
        last: list[Any] = [None, 0, 0.0]  # output, its version, its value

        def look(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            # A container returns its last member's output: do not decompose it again.
            if output is not last[0] or output._version != last[1]:
                last[:] = [output, output._version, _smallest_eigenvalue(output[0])]
            values.append(last[2])

        for module in network.modules():
            if modules == "all" or next(module.children(), None) is None:
                module.register_forward_hook(look)
        network(images)
    return score_or_worst(math.fsum(values)) if all(map(math.isfinite, values)) else -math.inf


def _smallest_eigenvalue(feature: Tensor) -> float:
    rows = feature.reshape(len(feature), -1).double()
    if not bool(rows.isfinite().all()):
        return math.nan
    centred = rows - rows.mean(dim=1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    unit = torch.where(norms > 0, centred / norms, 0.0)
    return float(torch.linalg.eigvalsh(unit @ unit.T)[0])


def zen(
    network: nn.Module,
    batch: Batch,
    *,
    alpha: float = 0.01,
    weights: Literal["gaussian", "given"] = "gaussian",
    images: Literal["gaussian", "batch"] = "gaussian",
    repeats: int = 1,
    seed: int = 0,
) -> float:
    """Return the Zen-score: how far features move with the input, corrected for scaling.

    ``log( mean over images of ||f(x) - f(x + alpha * e)||_1 ) + sum over batch normalisations
    of log sqrt(mean of their running variance after both passes)``, ``f`` the features before
    global pooling, ``e`` standard normal. Averaged over ``repeats``. The network is in
    training mode; a batch normalisation without running variance is given one.

    The features before global pooling are the input of the last adaptive pooling module, or,
    without one, the last image-shaped tensor that a module returns.

    ``-inf`` if the features do not move.

    Args:
        network: The network, untouched afterwards.
        batch: Gives the shape, and the images for ``images="batch"``.
        alpha: Size of the perturbation.
        weights: Fresh standard-normal weights, or those given.
        images: Standard-normal images, or the batch's.
        repeats: Number of draws.
        seed: Seed of weights, images and perturbation.

    References:
        Lin et al., 2021, Zen-NAS, algorithm 1; running variances (which remember a tenth of each
        pass) as in the released code. Deviations: none for the defaults.
    """
    generator = Generator().manual_seed(seed)
    scores = []
    with preserved(network), torch.no_grad():
        network.train()
        _track_variances(network)
        look = _LastFeatures(network)
        for _ in range(repeats):
            if weights == "gaussian":
                draw_weights(network, "gaussian", generator)
            x = images_for(network, batch, images, generator)
            moved = x + alpha * normal(tuple(x.shape), x, generator)
            distance = (look(x) - look(moved)).abs().flatten(1).sum(1).mean()
            score = float(distance.double().log()) + sum(
                float(norm.running_var.double().mean().log()) / 2
                for norm in _batch_norms(network)
                if norm.running_var is not None
            )
            scores.append(score)
    return score_or_worst(sum(scores) / len(scores))


def _batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _track_variances(network: nn.Module) -> None:
    for norm in _batch_norms(network):
        if norm.running_var is None:
            like = next(network.parameters())
            norm.running_mean = like.new_zeros(norm.num_features)
            norm.running_var = like.new_ones(norm.num_features)
            norm.num_batches_tracked = torch.zeros((), dtype=torch.int64, device=like.device)
            norm.track_running_stats = True


class _LastFeatures:
    """Calls a network and returns its features before global pooling."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._pooled: Tensor | None = None
        self._last: Tensor | None = None
        for module in network.modules():
            if isinstance(module, _GLOBAL_POOLING):
                module.register_forward_pre_hook(self._see_pooling)
            else:
                module.register_forward_hook(self._see_output)

    def __call__(self, x: Tensor) -> Tensor:
        self._pooled = None
        self._last = x
        self._network(x.clone())
        return self._last if self._pooled is None else self._pooled

    def _see_pooling(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._pooled = inputs[0].clone()

    def _see_output(self, _module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            self._last = output


class Meco(Proxy):
    """The ``meco`` proxy; see ``meco``."""

    def __init__(self, options: MecoOptions) -> None:
        self._options = options
        self.needs_data = options.image == "batch"

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of the smallest eigenvalues."""
        return meco(network, batch, **self._options.model_dump())


class Zen(Proxy):
    """The ``zen`` proxy; see ``zen``."""

    def __init__(self, options: ZenOptions) -> None:
        self._options = options
        self.needs_data = options.images == "batch"

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the Zen-score."""
        return zen(network, batch, **self._options.model_dump())
