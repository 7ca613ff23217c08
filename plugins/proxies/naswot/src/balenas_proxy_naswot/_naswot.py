"""NASWOT by hooks on the ReLUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from balenas_core.interfaces.proxy import Batch
from balenas_core.nn import ReluConvNorm
from balenas_core.scores.network_batch import BatchPass, BatchPassProxy
from balenas_core.scores.network_pass import NetworkPass, score_pass
from balenas_proxy_naswot import NaswotOptions

_EXACT_IN_FLOAT32 = 2**24  # counts beyond this are not all float32 numbers


def code_kernel(features: Tensor) -> Tensor:
    """Return on how many units two images agree, for each pair of images.

    ``K = c c^T + (1-c)(1-c)^T``, ``c`` the binary code ``features > 0`` of each image, computed
    as ``n - r_i - r_j + 2 (c c^T)_ij`` with ``r`` the row sums of ``c``: one product of matrices,
    exact.

    Args:
        features: `... x batch x units`-dim tensor.

    Returns:
        `... x batch x batch`-dim float64 tensor of whole numbers.
    """
    units = features.shape[-1]
    code = torch.empty(
        features.shape,
        dtype=torch.float32 if units < _EXACT_IN_FLOAT32 else torch.float64,
        device=features.device,
    )
    torch.gt(features, 0, out=code)  # straight to numbers: half the time of going through booleans
    both = (code @ code.mT).double()
    active = both.diagonal(dim1=-2, dim2=-1)
    return units - active[..., :, None] - active[..., None, :] + 2 * both


def log_determinant(kernel: Tensor) -> float:
    """Return the logarithm of a Gram matrix's determinant; ``-inf`` if it is singular.

    Singular is judged as in ``torch.linalg.matrix_rank``: the smallest eigenvalue is below
    the largest times size times machine epsilon. (``slogdet`` of a singular matrix often
    returns a finite number made of rounding errors.)
    """
    eigenvalues = torch.linalg.eigvalsh(kernel)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if not smallest > largest * len(kernel) * torch.finfo(kernel.dtype).eps:
        return -math.inf
    return float(torch.linalg.slogdet(kernel).logabsdet)


def naswot(network: nn.Module, batch: Batch, *, layers: Literal["relu", "name"] = "relu") -> float:
    """Return the log-determinant of the kernel of a network's activation codes.

    ``log |det K|``, ``K = sum over ReLUs of c c^T + (1-c)(1-c)^T``, where row ``i`` of ``c``
    says which of the ReLU's inputs are positive for image ``i``; ``K_ij`` is the number of
    units on which images ``i`` and ``j`` agree. The network runs once, in training mode.

    ``-inf`` if ``K`` is singular: two images have the same code, or there is no ReLU.

    Args:
        network: The network, untouched afterwards.
        batch: `batch x channels x height x width`-dim images; the labels are not used.
        layers: ``"relu"`` takes every ``nn.ReLU`` module, as often as it is called;
            ``"name"`` takes every module whose type name contains ``ReLU``, and every
            ``ReluConvNorm``, which the authors' code calls ``ReLUConvBN``: such a block counts
            twice. Values differ, ranks hardly.

    References:
        Mellor, Turner, Storkey, Crowley, 2021, Neural architecture search without training.
        Deviations: ``layers="relu"`` where the authors' code goes by name; a singular kernel
        gives ``-inf`` where that code gives whatever rounding makes of it.
    """
    if layers not in ("relu", "name"):
        raise ValueError(f"`layers` must be 'relu' or 'name'; got {layers!r}")
    return score_pass(network, batch, lambda run: _attach(run, layers), gradients=False)


def _attach(run: NetworkPass, layers: str) -> Callable[[], float]:
    kernels: list[Tensor] = []
    # The operations that leave one node of a cell all have that node as their ReLU's input.
    known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def add(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features = inputs[0]
        version, kernel = known.get(features, (None, None))
        if version != features._version:
            kernel = code_kernel(features.detach().flatten(1))
            known[features] = features._version, kernel
        # One running sum, not a list: a deep network has hundreds of ReLUs.
        kernels[:] = [kernels[0] + kernel if kernels else kernel]

    for module in _relus(run.network, layers):
        module.register_forward_pre_hook(add)
    return lambda: log_determinant(kernels[0]) if kernels else -math.inf


def _attach_batch(run: BatchPass, layers: str) -> Callable[[], list[float]]:
    images = len(run.labels)
    kernels = torch.zeros((run.count, images, images), dtype=torch.float64)

    def add(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features = run.by_network(inputs[0].detach()).flatten(2)
        owners = run.networks.owners
        kernels.index_add_(0, owners.networks, code_kernel(features).cpu()[owners.rows])

    for module in _relus(run.networks, layers):
        module.register_forward_pre_hook(add)
    return lambda: [log_determinant(kernel) for kernel in kernels]


def _relus(network: nn.Module, layers: str) -> Iterator[nn.Module]:
    for module in network.modules():
        # A ReluConvNorm is what the authors' code calls ReLUConvBN.
        by_name = layers == "name" and (
            "ReLU" in type(module).__name__ or isinstance(module, ReluConvNorm)
        )
        if isinstance(module, nn.ReLU) or by_name:
            yield module


class Naswot(BatchPassProxy):
    """The ``naswot`` proxy; see ``naswot``."""

    def __init__(self, options: NaswotOptions) -> None:
        self._options = options

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Collect the codes of the ReLUs."""
        return _attach(run, self._options.layers)

    def attach_batch(self, run: BatchPass) -> Callable[[], Sequence[float]]:
        """Collect the codes of the ReLUs of many networks."""
        return _attach_batch(run, self._options.layers)
