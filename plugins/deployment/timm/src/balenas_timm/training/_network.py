"""The network that is trained, and its two outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from balenas_core.engine.one_image import check_one_image
from balenas_core.engine.processes import Processes
from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.nn import RegularizedNetwork
from balenas_core.random import derive_seed, seeded
from balenas_core.scores.probing import preserved
from balenas_timm.recipes import TrainingRecipe


class TwoHeads(nn.Module):
    """A network whose ``forward`` also returns the logits of its auxiliary head, if there is one.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return both logits; None for the second without an auxiliary head."""
        if isinstance(self.network, RegularizedNetwork):
            return self.network.forward_with_auxiliary(x)
        return self.network(x), None


def build_network(
    space: AnySpace, architecture: Architecture, task: Task, recipe: TrainingRecipe, *, seed: int
) -> nn.Module:
    """Build the network with fresh weights.

    Raises:
        UsageError: The recipe asks for what the network does not have, or ignores what it has.
    """
    with seeded(derive_seed(seed, "network")):
        network = space.network(architecture, task)
    kind = type(network).__name__
    if recipe.drop_path and not isinstance(network, RegularizedNetwork):
        raise UsageError(f"{kind} has no drop path; set training.drop_path to 0.")
    has_head = auxiliary_head(network) is not None
    if recipe.auxiliary_weight and not has_head:
        raise UsageError(
            f"{kind} has no auxiliary head; set training.auxiliary_weight to 0, or, where the "
            f"space has that option, space.auxiliary to true."
        )
    if has_head and not recipe.auxiliary_weight:
        raise UsageError(
            f"{kind} has an auxiliary head that would not be trained; set "
            f"training.auxiliary_weight, to 0.4 as in DARTS, or space.auxiliary to false."
        )
    return network


def check_parts(
    network: nn.Module, task: Task, recipe: TrainingRecipe, processes: Processes
) -> None:
    """Check that the smallest part of a batch is one that the network can be trained on.

    Args:
        network: A new network, on the CPU.
        task: What it was built for.
        recipe: How it is trained.
        processes: Those that share each batch.

    Raises:
        UsageError: It is one image, which the network reduces to a single pixel.
    """
    share = recipe.batch_size // processes.count
    size = math.ceil(share / recipe.accumulate)
    smallest = share % size or size
    if smallest > 1 or processes.shares_statistics(recipe.sync_batch_norm):
        return
    least = 2 * recipe.accumulate * processes.count
    check_one_image(
        network,
        task.input_shape,
        TwoHeads(network),
        advice=f"Set training.batch_size to a multiple of {least} (now {recipe.batch_size}, in "
        f"{processes.count} process{'es' if processes.count > 1 else ''} and training.accumulate "
        f"{recipe.accumulate} parts).",
    )


def freeze_unused(network: nn.Module, task: Task) -> None:
    """Freeze the parameters on which no output depends, and which would get no gradient anyway.

    A cell has some where an operation leads to a node that nothing reads. Processes that share a
    training would wait for their gradients.

    Args:
        network: A new network, on the CPU.
        task: What it was built for.
    """
    with preserved(network):
        network.train()
        outputs = TwoHeads(network)(torch.zeros(2, *task.input_shape))
        torch.stack([one.sum() for one in outputs if one is not None]).sum().backward()
        unused = [name for name, copy in network.named_parameters() if copy.grad is None]
    for name in unused:
        network.get_parameter(name).requires_grad_(False)


def auxiliary_head(network: nn.Module) -> nn.Module | None:
    """Return the auxiliary head, if there is one."""
    return network.auxiliary if isinstance(network, RegularizedNetwork) else None


def count(module: nn.Module | None) -> int:
    """Return the number of parameters."""
    return 0 if module is None else sum(p.numel() for p in module.parameters())
