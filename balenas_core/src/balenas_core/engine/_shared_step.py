"""What the steps of a search exchange where several processes share them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from balenas_core.config import ProcessesConfig
from balenas_core.engine.processes import Processes
from balenas_core.errors import UsageError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.space import Supernet, Weights
from balenas_core.nn import synced_statistics
from balenas_core.random import derive_seed

Noise = Literal["shared", "own"]

# Statistics of the first process are given to all before they are used, and not in each step.
# torch 2.14 has another name for it.
_NAMES = inspect.signature(DistributedDataParallel.__init__).parameters
_WITHOUT_BUFFERS: Mapping[str, Any] = {
    next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in _NAMES): False
}


class SharedStep:
    """The exchange between the processes of a search; of one process, none.

    Every process takes its share of the training and of the validation batch. The gradients of
    the network's weights are averaged by DistributedDataParallel, those of the distribution's
    parameters by hooks, or by the optimizer itself. So all processes make the same updates, and
    hold the same weights and the same posterior.

    With noise of its own, every process draws its own architectures in each step: the first one
    those that it would draw alone, the others from seeds of rank and step, so that nothing of it
    need be saved.

    Args:
        processes: This process among the others.
        config: What is shared beside the gradients.
        supernet: On its device, with the same weights everywhere.
        distribution: Likewise.
        optimizer: Drives the distribution.
        seed: Seed of the search.

    Raises:
        UsageError: The optimizer cannot learn from draws of several processes, or the supernet
            cannot share its statistics.
    """

    def __init__(
        self,
        processes: Processes,
        config: ProcessesConfig,
        *,
        supernet: Supernet,
        distribution: ArchitectureDistribution,
        optimizer: ArchitectureOptimizer,
        seed: int,
    ) -> None:
        self.processes = processes
        self._seed = seed
        self._supernet = supernet
        self._syncs = config.sync_batch_norm and processes.count > 1
        self._model: nn.Module = supernet
        self.noise: Noise = "shared"
        self._is_architecture_step = False
        if processes.count == 1:
            return
        averages_itself = False
        if config.noise == "own" or (config.noise == "auto" and not config.sync_batch_norm):
            combination = optimizer.draw_apart()
            if combination == "refused" and config.noise == "own":
                raise UsageError(
                    "processes.noise is own, and this optimizer learns from the losses of its "
                    "draws, which all processes must share; set it to shared."
                )
            self.noise = "shared" if combination == "refused" else "own"
            averages_itself = combination == "itself"
        if not averages_itself:
            for parameter in distribution.parameters():
                if parameter.requires_grad:
                    parameter.register_hook(self._average)

    def start(self) -> None:
        """Make the weights those of the first process, and exchange their gradients from now on.

        All processes call it, once each has what it needs.
        """
        has_weights = any(parameter.requires_grad for parameter in self._supernet.parameters())
        if self.processes.count > 1 and has_weights:
            self._model = self._distributed(self._supernet)

    def _distributed(self, supernet: Supernet) -> nn.Module:
        # The gradient of a 1x1 kernel may come in channels_last, which for it is the same.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        device = self.processes.device
        return DistributedDataParallel(
            _WithUnused(supernet),
            device_ids=[device] if device.type == "cuda" else None,
            # Operations of weight zero do not run, and which these are changes with every draw.
            find_unused_parameters=True,
            **_WITHOUT_BUFFERS,
        )

    @contextmanager
    def of_batch_norm(self) -> Iterator[None]:
        """Share the statistics of batch normalisation in the block, if that is asked for."""
        with synced_statistics(self._supernet) if self._syncs else nullcontext():
            yield

    @contextmanager
    def of_architecture(self) -> Iterator[None]:
        """Average the gradients of the distribution's parameters in the block."""
        self._is_architecture_step = True
        try:
            yield
        finally:
            self._is_architecture_step = False

    def forward(self, images: Tensor, weights: Weights) -> Tensor:
        """Run the supernet so that its gradients become means over the processes."""
        logits: Tensor = self._model(images, weights)
        return logits

    def mean_loss(self, loss: Tensor) -> Tensor:
        """Return the mean over the processes, with the gradient of this process's part.

        Of draws of its own each process has its own loss: whoever learns from those, learns from
        gradients, and no process need wait for the others here.
        """
        if self.noise == "own" or self.processes.count == 1:
            return loss
        mean: Tensor = _MeanOverProcesses.apply(loss, self.processes)
        return mean

    def reported_loss(self, loss: float) -> float:
        """Return the mean over the processes of what their optimizers report.

        Of shared draws it is what each of them reports.
        """
        if self.noise == "shared":
            return loss
        value = torch.tensor(loss, dtype=torch.float64, device=self.processes.device)
        return self.processes.averaged([value])[0].item()

    def begin_step(self, name: str, step: int, generator: Generator) -> None:
        """Give the generator the numbers of a step that are this process's own.

        Args:
            name: What is drawn.
            step: Number of the step in the whole search.
            generator: What it is drawn from.
        """
        if self.noise == "own" and not self.processes.is_first:
            generator.manual_seed(derive_seed(self._seed, name, step, self.processes.rank))

    def _average(self, gradient: Tensor) -> Tensor:
        # Outside of the steps a single process may look at gradients, as for the curvature.
        return self.processes.averaged([gradient])[0] if self._is_architecture_step else gradient


class _WithUnused(nn.Module):
    """A supernet beside a parameter that is never used.

    DistributedDataParallel warns in C++, where nothing can silence it, if it looks for unused
    parameters and finds none in the first step; that it must look, later steps show.
    """

    def __init__(self, supernet: nn.Module) -> None:
        super().__init__()
        like = next(supernet.parameters())
        self.supernet = supernet
        self.unused = nn.Parameter(like.new_zeros(1))

    def forward(self, images: Tensor, weights: Weights) -> Tensor:
        logits: Tensor = self.supernet(images, weights)
        return logits


class _MeanOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, processes: Processes) -> Tensor:
        return processes.averaged([loss])[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
