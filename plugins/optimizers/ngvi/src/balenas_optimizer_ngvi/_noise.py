"""Random numbers of one draw, from an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

_SEEDS = 1 << 63
_RANK_STRIDE = 0x1E3779B97F4A7C15  # odd, so that ranks never share a seed


@dataclass(slots=True)
class NoiseSource:
    """Gives the noise of draw after draw; its whole state is the generator's.

    The processes of a group keep equal generators and get different noise from their rank.

    Args:
        generator: A generator on the CPU.
        rank: Index of this process among those that draw together.
    """

    generator: Generator
    rank: int = 0
    _drawn: Tensor = field(default_factory=lambda: torch.empty((), dtype=torch.int64))
    _device_generators: dict[torch.device, Generator] = field(default_factory=dict)

    def seed(self) -> int:
        """Draw the seed of one counter-based draw, in [0, 2^63)."""
        drawn = int(self._drawn.random_(generator=self.generator))
        return (drawn + self.rank * _RANK_STRIDE) % _SEEDS

    def stream(self, device: torch.device) -> Generator:
        """Return a generator on a device to fill the noise of one draw with."""
        if device.type == "cpu" and self.rank == 0:
            return self.generator
        if device not in self._device_generators:
            self._device_generators[device] = Generator(device)
        return self._device_generators[device].manual_seed(self.seed())


def fill(out: Tensor, stream: Generator) -> Tensor:
    """Overwrite ``out`` with standard normal numbers."""
    return out.normal_(generator=stream)
