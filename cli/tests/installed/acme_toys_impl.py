"""Implementations of the toy plugins."""

import time
from pathlib import Path

import torch

from balenas_core.errors import DivergenceError
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.tracker import Tracker
from balenas_core.testing import ToySpace


def make_space():
    print("a plugin that prints")  # noqa: T201
    return ToySpace()


class ToyAdam(ArchitectureOptimizer):
    """Adam on the distribution's parameters."""

    def __init__(self, options, *, distribution, dataset_size, generator):
        self._options = options
        self._distribution = distribution
        self._generator = generator
        self._adam = torch.optim.Adam(distribution.parameters(), lr=options.lr)
        self._steps = 0

    def step(self, objective):
        time.sleep(self._options.seconds)
        if self._steps == self._options.explode_at:
            raise DivergenceError("the validation loss is inf")
        self._steps += 1
        loss = objective(self._distribution.weights(self._generator))
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return loss.item()

    def state_dict(self):
        return {
            "adam": self._adam.state_dict(),
            "generator": self._generator.get_state(),
            "steps": self._steps,
        }

    def load_state_dict(self, state):
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"])
        self._steps = state["steps"]


class Params(Proxy):
    """Number of parameters."""

    needs_data = False

    def score(self, network, batch):
        return float(sum(p.numel() for p in network.parameters()))


class Diary(Tracker):
    """Writes the name of every event into a file."""

    def handle(self, event):
        with Path("diary.txt").open("a") as file:
            file.write(f"{type(event).__name__}\n")
