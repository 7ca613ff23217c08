"""The NAS-Bench-1Shot1 search spaces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from balenas_core.benchmarks import Table
from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.space import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.interfaces.texts import bare_text, is_number, text_of_number
from balenas_space_nb1shot1 import _architecture
from balenas_space_nb1shot1._architecture import NB1Shot1Architecture, outside
from balenas_space_nb1shot1._benchmark import NB1Shot1Benchmark
from balenas_space_nb1shot1._imported import find_imported
from balenas_space_nb1shot1._nb101 import to_nb101
from balenas_space_nb1shot1._nb101_text import is_nb101_text, parse_nb101
from balenas_space_nb1shot1._network import NB101Network
from balenas_space_nb1shot1._official import read_official
from balenas_space_nb1shot1._options import NB1Shot1Options
from balenas_space_nb1shot1._supernet import (
    OPERATION_DECISION,
    OUTPUT_DECISION,
    NB1Shot1Supernet,
    input_decision,
)
from balenas_space_nb1shot1._topology import OPERATIONS, TOPOLOGIES


class NB1Shot1Space(SearchSpace[NB1Shot1Architecture]):
    """Cells of NAS-Bench-101 whose nodes have a fixed number of parents.

    Args:
        options: Which of the three spaces, and the size of the networks.

    References:
        Zela et al. 2020, "NAS-Bench-1Shot1: Benchmarking and Dissecting One-shot Neural
        Architecture Search", ICLR.

    Example:
        >>> space = NB1Shot1Space(NB1Shot1Options())
        >>> sum(d.shape[0] * d.shape[1] for d in space.decisions)
        24
    """

    def __init__(self, options: NB1Shot1Options) -> None:
        self.options = options
        self.topology = TOPOLOGIES[options.space]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Operations of the blocks, parents of the output, parents of the blocks."""
        topology = self.topology
        blocks = tuple(str(node) for node in range(1, topology.blocks + 1))
        return (
            Decision(OPERATION_DECISION, blocks, OPERATIONS),
            Decision(OUTPUT_DECISION, ("output",), ("0", *blocks)),
            *(
                Decision(input_decision(node), (str(node),), tuple(map(str, range(node))))
                for node in range(1, topology.blocks + 1)
                if topology.has_choice(node)
            ),
        )

    def supernet(self, task: Task) -> NB1Shot1Supernet:
        """Build the weight-sharing network, with fresh weights."""
        return NB1Shot1Supernet(
            task, self.topology, channels=self.options.channels, cells=self.options.cells
        )

    def network(self, architecture: NB1Shot1Architecture, task: Task) -> NB101Network:
        """Build the network as NAS-Bench-101 does, with fresh weights."""
        return NB101Network(
            to_nb101(architecture), task, channels=self.options.channels, cells=self.options.cells
        )

    def inherit(self, supernet: Supernet, architecture: NB1Shot1Architecture) -> nn.Module:
        """Build the network of an architecture in the form it has inside the supernet.

        Raises:
            ArchitectureError: It is not in the space.
        """
        if not isinstance(supernet, NB1Shot1Supernet):
            raise TypeError(
                f"expected an NB1Shot1Supernet, got {type(supernet).__name__}; "
                f"build one with NB1Shot1Space.supernet."
            )
        self._check(architecture)
        return supernet.inherit(architecture)

    def _check(self, architecture: NB1Shot1Architecture) -> None:
        if reason := outside(architecture, self.topology):
            raise ArchitectureError(reason)

    def one_hot(self, architecture: NB1Shot1Architecture) -> dict[str, Tensor]:
        """Return tables with a one for each operation and each parent.

        The rows of parents sum to their number: the supernet then adds them, as the network
        does.

        Raises:
            ArchitectureError: It is not in the space.
        """
        self._check(architecture)
        rows = [[float(name == own) for name in OPERATIONS] for own in architecture.operations]
        tables = {OPERATION_DECISION: torch.tensor(rows)}
        for name, node in self._parent_decisions():
            parents = architecture.parents[node - 1]
            tables[name] = torch.tensor([[float(k in parents) for k in range(node)]])
        return tables

    def _parent_decisions(self) -> Iterator[tuple[str, int]]:
        """Yield decision and node for the output and each node that chooses its parents."""
        yield OUTPUT_DECISION, self.topology.blocks + 1
        for node in range(1, self.topology.blocks + 1):
            if self.topology.has_choice(node):
                yield input_decision(node), node

    def discretize(self, weights: Weights) -> NB1Shot1Architecture:
        """Keep each block's largest operation and each node's largest parents.

        Of equal weights the first wins.

        Raises:
            ArchitectureError: The weights do not have the decisions' shapes.

        References:
            Zela et al. 2020, "NAS-Bench-1Shot1", ICLR.
        """
        expected = {d.name: d.shape for d in self.decisions}
        got = {name: tuple(value.shape) for name, value in weights.items()}
        if got != expected:
            raise ArchitectureError(
                f"expected weights of shapes {expected}, got {got}; "
                f"take them from a distribution over this space's decisions."
            )
        chosen = weights[OPERATION_DECISION].argmax(dim=1).tolist()
        parents = {node: tuple(range(node)) for node in self.topology.nodes}
        for name, node in self._parent_decisions():
            row = weights[name][0].tolist()
            ranked = sorted(range(node), key=[-weight for weight in row].__getitem__)
            parents[node] = tuple(sorted(ranked[: self.topology.count(node)]))
        return NB1Shot1Architecture(tuple(OPERATIONS[k] for k in chosen), tuple(parents.values()))

    def parse(self, text: str) -> NB1Shot1Architecture:
        """Read the text form, a cell of NAS-Bench-101, or a number in the installed benchmark.

        A cell of NAS-Bench-101 is ``ModelSpec(matrix=[[...], ...], ops=['input', ..., 'output'])``
        with every node of the space, or a dict with ``module_adjacency`` and
        ``module_operations``.

        Raises:
            ArchitectureError: The text is not an architecture; the message names the place.
            DataError: It is a number, and the benchmark's file is damaged.
        """
        bare = bare_text(text)
        if is_number(bare):
            bare = text_of_number(bare, self.benchmark())
        if is_nb101_text(bare):
            architecture = parse_nb101(bare, self.topology)
            self._check(architecture)
            return architecture
        return _architecture.parse(bare, self.topology)

    def canonical(self, architecture: NB1Shot1Architecture) -> NB1Shot1Architecture:
        """Return the representative of all architectures with the same pruned cell."""
        self._check(architecture)
        return _architecture.canonical(architecture, self.topology)

    def random(self, generator: Generator) -> NB1Shot1Architecture:
        """Draw operations and parents uniformly."""
        chosen = torch.randint(len(OPERATIONS), (self.topology.blocks,), generator=generator)
        parents = tuple(
            tuple(
                sorted(
                    torch.randperm(node, generator=generator)[: self.topology.count(node)].tolist()
                )
            )
            for node in self.topology.nodes
        )
        return NB1Shot1Architecture(tuple(OPERATIONS[k] for k in chosen.tolist()), parents)

    def mutate(
        self, architecture: NB1Shot1Architecture, generator: Generator
    ) -> NB1Shot1Architecture:
        """Change one operation or one parent."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (), generator=generator))]

    def neighbors(self, architecture: NB1Shot1Architecture) -> Iterator[NB1Shot1Architecture]:
        """Yield every architecture with one other operation or one other parent."""
        operations, parents = architecture.operations, architecture.parents
        for k, old in enumerate(operations):
            for new in OPERATIONS:
                if new != old:
                    yield NB1Shot1Architecture(
                        (*operations[:k], new, *operations[k + 1 :]), parents
                    )
        for k, own in enumerate(parents):
            for other in itertools.combinations(range(k + 1), len(own)):
                if len(set(own) - set(other)) == 1:
                    yield NB1Shot1Architecture(operations, (*parents[:k], other, *parents[k + 1 :]))

    def size(self) -> int:
        """Return the number of configurations: parents times operations."""
        return self.topology.size()

    def architectures(self) -> Iterator[NB1Shot1Architecture]:
        """Yield every configuration; the last operation changes fastest."""
        return _architecture.all_architectures(self.topology)

    def benchmark(self) -> Benchmark[NB1Shot1Architecture] | None:
        """Return NAS-Bench-101's results: of ``benchmark_folder``, else the imported ones."""
        folder = self.options.benchmark_folder
        if folder is not None:
            return NB1Shot1Benchmark(folder, self.topology)
        return find_imported(self.topology)

    def import_benchmark(
        self, source: Path, *, with_curves: bool = False, allow_missing: bool = False
    ) -> Table:
        """Convert NAS-Bench-101's official TFRecord file; it has no curves.

        Raises:
            DataError: It is missing, damaged, incomplete or of another format.
        """
        return read_official(source, allow_missing=allow_missing)
