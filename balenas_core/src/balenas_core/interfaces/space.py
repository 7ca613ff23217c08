"""Search spaces and their supernets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Generator, Tensor, nn

from balenas_core.benchmarks import Table
from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.network_batch import NetworkBatch
from balenas_core.interfaces.recompute import run_recomputed

A = TypeVar("A", bound=Architecture)

Weights = Mapping[str, Tensor]
"""Decision name -> `slots x choices`-dim tensor of architecture weights."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One table of choices that a search learns: ``choices`` candidates in each slot.

    ``slots`` and ``choices`` are names, such as edges and operations. ``group`` names what the
    tables of one cell have in common, where it has several; limits on choices hold for it.
    ``weighs_edges`` tells a table that weighs what enters a node, beside one that chooses it.
    """

    name: str
    slots: tuple[str, ...]
    choices: tuple[str, ...]
    group: str = ""
    weighs_edges: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of its logits."""
        return len(self.slots), len(self.choices)


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is built for: image shape (channels, height, width) and classes."""

    input_shape: tuple[int, int, int]
    num_classes: int


class Supernet(nn.Module, ABC):
    """A network that holds every architecture of a space and mixes them by weights.

    It owns no architecture parameters: they enter each call, so that every distribution
    works with every space.
    """

    recomputes_cells: bool = False
    """Whether the backward pass computes the inside of cells again instead of keeping it."""

    @property
    def cell_modules(self) -> Sequence[nn.Module]:
        """The modules that hold most of its memory and time and are called by ``run_cell``.

        Without any, which is the default, ``training.checkpoint_cells`` and
        ``training.compile`` are refused.
        """
        return ()

    def run_cell(self, cell: nn.Module, *inputs: Any) -> Any:
        """Call one of ``cell_modules`` in the way that the search asks for.

        Args:
            cell: The module.
            inputs: Its arguments.
        """
        if self.recomputes_cells and torch.is_grad_enabled():
            return run_recomputed(cell, *inputs)
        # Evaluation would be compiled once more, for too few batches.
        is_compiled = cell._compiled_call_impl is not None
        return cell.forward(*inputs) if is_compiled and not self.training else cell(*inputs)

    @abstractmethod
    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return logits.

        Args:
            x: `batch x channels x height x width`-dim images.
            weights: One tensor per decision of the space. An exact zero means that the
                operation need not be computed; where a whole row is zero, the slot adds nothing,
                as when a selector measures what is lost without it.

        Returns:
            `batch x num_classes`-dim tensor.
        """


class SearchSpace(ABC, Generic[A]):
    """A set of architectures, and how to build, read, write and vary them.

    A plugin's implementation is called as ``Space(options)``. Its size (channels, cells) is
    part of the options, so one object builds networks of one size.
    """

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """The tables of choices that a search learns."""

    @abstractmethod
    def supernet(self, task: Task) -> Supernet:
        """Build the weight-sharing network, with fresh weights."""

    @abstractmethod
    def network(self, architecture: A, task: Task) -> nn.Module:
        """Build the stand-alone network of an architecture, with fresh weights.

        Its ``forward`` takes images and returns logits.
        """

    @abstractmethod
    def inherit(self, supernet: Supernet, architecture: A) -> nn.Module:
        """Build the network of an architecture in the form it has inside the supernet.

        It shares no memory with the supernet but has the same weights and buffers, and
        computes what ``supernet(x, self.one_hot(architecture))`` computes.
        """

    @abstractmethod
    def one_hot(self, architecture: A) -> dict[str, Tensor]:
        """Return the weights that select exactly this architecture in the supernet."""

    @abstractmethod
    def discretize(self, weights: Weights) -> A:
        """Return the architecture that the weights favour (the method of the space's paper)."""

    @abstractmethod
    def parse(self, text: str) -> A:
        """Read the text form.

        Raises:
            ArchitectureError: The text is not an architecture of this space.
        """

    @abstractmethod
    def canonical(self, architecture: A) -> A:
        """Return one representative of all architectures that compute the same function."""

    def simplified(self, architecture: A) -> A:
        """Return the simplest architecture that computes the same; here the canonical form.

        Networks are scored in this form, for operations that change nothing would count in some
        scores. Where ``canonical`` follows a benchmark's own classes, this may be coarser.
        """
        return self.canonical(architecture)

    @abstractmethod
    def random(self, generator: Generator) -> A:
        """Draw an architecture uniformly over the decisions."""

    @abstractmethod
    def mutate(self, architecture: A, generator: Generator) -> A:
        """Return a random neighbour."""

    @abstractmethod
    def neighbors(self, architecture: A) -> Iterator[A]:
        """Yield every architecture that differs in exactly one decision."""

    def for_proxies(self) -> Self:
        """Return the same space at the size at which proxies look at its networks; here itself.

        A supernet is often smaller than the networks that will be trained, and what a proxy says
        of a shallow one need not hold for a deep one: paths around convolutions matter there.
        """
        return self

    def size(self) -> int | None:
        """Return the number of architectures with different text forms; here None, unknown."""
        return None

    def architectures(self) -> Iterator[A] | None:
        """Yield every architecture, where they can be counted out; here None."""
        return None

    def network_batch(self, supernet: Supernet, architectures: Sequence[A]) -> NetworkBatch | None:
        """Return the networks that ``inherit`` would build, as one program; here None.

        It shares the supernet's weights. A space that has one makes scoring many small networks
        several times as fast.
        """
        del supernet, architectures
        return None

    def formula_labels(self, network: nn.Module) -> Mapping[str, int] | None:
        """Return the labels by which ``formula.fill_by_formula`` fills a network's parameters.

        A space has some where others have agreed on them; here None, for numbers in order.
        """
        del network
        return None

    def benchmark(self) -> Benchmark[A] | None:
        """Return the space's table of real accuracies, if one is installed."""
        return None

    def import_benchmark(
        self, source: Path, *, with_curves: bool = False, allow_missing: bool = False
    ) -> Table:
        """Convert an official file of results into the table that ``benchmark`` serves.

        ``balenas bench import`` calls it and keeps the table where
        ``balenas_core.benchmarks.installed_table`` finds it.

        Args:
            source: File or folder.
            with_curves: Whether to keep results after every epoch, where the source has them.
            allow_missing: Whether the results of fewer architectures than there are will do.

        Raises:
            DataError: The source is missing, damaged, incomplete or of another format.
            UsageError: The space knows no such format.
        """
        raise UsageError(f"{type(self).__name__} has no benchmark that can be imported.")


AnySpace = SearchSpace[Any]
