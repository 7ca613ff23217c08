"""What distributions over independent categorical choices share: pure functions of logits."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from balenas_core.interfaces.distribution import LogitTable
from balenas_core.interfaces.space import Weights


def gumbel_noise(like: Tensor, generator: Generator) -> Tensor:
    """Return standard Gumbel noise of the shape, type and device of ``like``."""
    # Noise is drawn on the CPU, so that a seed gives one draw on every device.
    noise = torch.empty(like.shape, dtype=like.dtype).exponential_(generator=generator)
    # The logarithm of an exact zero would make the row NaN.
    return -noise.clamp_min_(torch.finfo(like.dtype).tiny).log_().to(like.device)


def sample(logits: LogitTable, generator: Generator) -> dict[str, Tensor]:
    """Draw one choice in every slot, one-hot (the Gumbel-max trick)."""
    with torch.no_grad():
        return {
            name: one_hot_argmax(value + gumbel_noise(value, generator))
            for name, value in logits.items()
        }


def one_hot_argmax(values: Tensor) -> Tensor:
    """Return ones at the largest value of every row and zeros elsewhere; the first of ties."""
    index = values.argmax(dim=-1, keepdim=True)
    return torch.zeros_like(values).scatter_(-1, index, 1.0)


def log_prob(logits: LogitTable, draw: Weights) -> Tensor:
    """Return the sum over slots of the log-probability of the chosen one."""
    # where instead of a product: 0 * -inf of an impossible choice that was not made is NaN.
    chosen = [
        torch.where(draw[name] > 0, torch.log_softmax(value, dim=-1), 0.0).sum()
        for name, value in logits.items()
    ]
    return torch.stack(chosen).sum()


def entropy(logits: LogitTable) -> Tensor:
    """Return the entropy of the product of all slots' categoricals, in nats."""
    log_p = [torch.log_softmax(value, dim=-1) for value in logits.values()]
    return -torch.stack([(p.exp() * p).sum() for p in log_p]).sum()
