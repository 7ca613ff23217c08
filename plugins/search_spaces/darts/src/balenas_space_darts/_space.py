"""The DARTS search space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.nn import CellEdge, input_one_hot
from balenas_space_darts import _text
from balenas_space_darts._architecture import DartsArchitecture, DartsCell, Pair
from balenas_space_darts._choices import (
    EDGES,
    KINDS,
    NODES,
    choices,
    edge_name,
)
from balenas_space_darts._membership import check_is_in_space, outside
from balenas_space_darts._network import DartsNetwork, fresh_network
from balenas_space_darts._options import DartsOptions
from balenas_space_darts._published import PUBLISHED, named, published
from balenas_space_darts._supernet import DartsSupernet

CONCAT = tuple(range(2, 2 + NODES))


class DartsSpace(SearchSpace[DartsArchitecture]):
    """A normal and a reduction cell; each of four nodes sums two operations on earlier nodes.

    Args:
        options: Size of the networks, and candidates of the edges.

    References:
        Liu et al. 2019, "DARTS: Differentiable Architecture Search", ICLR.

    Example:
        >>> space = DartsSpace(DartsOptions())
        >>> space.parse("DARTS_V2").normal.pairs[0]
        ('sep_conv_3x3', 0)
    """

    def __init__(self, options: DartsOptions) -> None:
        self.options = options
        self._choices = choices(options.operations, has_edge_weights=options.edge_normalization)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """A table of 14 edges for each cell; one an edge where their candidates differ.

        With ``edge_normalization`` also one for each node, over the edges that enter it.
        """
        return self._choices.decisions()

    def supernet(self, task: Task) -> DartsSupernet:
        """Build the weight-sharing network, with fresh weights."""
        return DartsSupernet(
            task,
            self._choices,
            stem=self.options.stem,
            channels=self.options.channels,
            cells=self.options.cells,
            partial_channels=self.options.partial_channels,
        )

    def network(self, architecture: DartsArchitecture, task: Task) -> DartsNetwork:
        """Build the stand-alone network as DARTS trains it, with fresh weights.

        Architectures outside the space, such as NASNET, can be built too.
        """
        return fresh_network(
            architecture,
            task,
            stem=self.options.stem,
            channels=self.options.channels,
            cells=self.options.cells,
            has_auxiliary=self.options.auxiliary,
        )

    def inherit(self, supernet: Supernet, architecture: DartsArchitecture) -> DartsNetwork:
        """Build the network of an architecture in the form it has inside the supernet.

        Raises:
            ArchitectureError: The supernet does not hold it.
        """
        if not isinstance(supernet, DartsSupernet):
            raise TypeError(
                f"expected a DartsSupernet, got {type(supernet).__name__}; "
                f"build one with DartsSpace.supernet."
            )
        return supernet.inherit(architecture)

    def one_hot(self, architecture: DartsArchitecture) -> dict[str, Tensor]:
        """Return tables with a one for each operation.

        Edges without an operation select ``none``; where that is no candidate their row is
        zero. An edge with two operations (a node that uses one input twice) counts both.

        Raises:
            ArchitectureError: The supernet does not hold it.
        """
        check_is_in_space(architecture, self._choices)
        tables: dict[str, Tensor] = {}
        for kind, cell in architecture.by_kind():
            rows = []
            for edge in EDGES:
                names = [n for n, source in cell.sources(edge.target) if source == edge.source]
                known = self._choices.of(kind, edge)
                counted = names or ["none"]
                rows.append(torch.tensor([float(counted.count(name)) for name in known]))
            if self._choices.is_uniform(kind):
                tables[kind] = torch.stack(rows)
            else:
                tables |= {
                    edge_name(kind, e): row[None] for e, row in zip(EDGES, rows, strict=True)
                }
            if self._choices.has_edge_weights:
                used = {CellEdge(s, t) for t in CONCAT for _, s in cell.sources(t)}
                tables |= input_one_hot(kind, EDGES, used)
        return tables

    def discretize(self, weights: Weights) -> DartsArchitecture:
        """Keep two edges a node, those whose best operation has the largest weight.

        ``none`` is left out of account. Of equal weights the first wins. A node's edges are in
        the order of their weights, as in the DARTS code. Where edges have weights, those of
        their operations are multiplied by them.

        Raises:
            ArchitectureError: The weights do not have the decisions' shapes.

        References:
            Liu et al. 2019, "DARTS", ICLR, section 2.4.
        """
        self._check_shapes(weights)
        weights = self._choices.operation_weights(weights)
        cells = {kind: self._discretize_cell(kind, weights) for kind in KINDS}
        return DartsArchitecture(cells["normal"], cells["reduce"])

    def _check_shapes(self, weights: Weights) -> None:
        expected = {d.name: d.shape for d in self.decisions}
        got = {name: tuple(value.shape) for name, value in weights.items()}
        if got != expected:
            raise ArchitectureError(
                f"expected weights of shapes {expected}, got {got}; "
                f"take them from a distribution over this space's decisions."
            )

    def _discretize_cell(self, kind: str, weights: Weights) -> DartsCell:
        best: dict[CellEdge, tuple[float, str]] = {}
        table = weights[kind].tolist() if self._choices.is_uniform(kind) else None
        for position, edge in enumerate(EDGES):
            row = table[position] if table else weights[edge_name(kind, edge)][0].tolist()
            candidates = zip(row, self._choices.of(kind, edge), strict=True)
            best[edge] = max(
                ((w, name) for w, name in candidates if name != "none"), key=lambda pair: pair[0]
            )
        pairs: list[Pair] = []
        for target in CONCAT:
            incoming = [edge for edge in EDGES if edge.target == target]
            kept = sorted(incoming, key=lambda edge: -best[edge][0])[:2]
            pairs += [(best[edge][1], edge.source) for edge in kept]
        return DartsCell(tuple(pairs), CONCAT)

    def parse(self, text: str) -> DartsArchitecture:
        """Read a ``Genotype(...)`` as programs print it, or the name of a published architecture.

        Raises:
            ArchitectureError: The text is neither, or not an architecture of this space.
                Published ones are taken even if they are outside the space, by name or by text:
                they can be built and trained.
        """
        if named(text) is not None:
            return published(text)
        architecture = _text.parse(text)
        # What could be built by its name is stored as text, and read back from it.
        if architecture not in PUBLISHED.values():
            check_is_in_space(architecture, self._choices)
        return architecture

    def canonical(self, architecture: DartsArchitecture) -> DartsArchitecture:
        """Return the representative under renumbering of nodes and order of a node's inputs.

        It is in the space if the architecture is.
        """
        cells = {kind: self._canonical_cell(kind, cell) for kind, cell in architecture.by_kind()}
        return DartsArchitecture(cells["normal"], cells["reduce"])

    def _canonical_cell(self, kind: str, cell: DartsCell) -> DartsCell:
        isomorphic = cell.renumberings()
        if self._choices.is_uniform(kind):
            return isomorphic[0]
        # Where edges differ in their candidates, a renumbering can leave the space.
        inside = (c for c in isomorphic if not outside(kind, c, self._choices))
        return next(inside, isomorphic[0])

    def random(self, generator: Generator) -> DartsArchitecture:
        """Draw two different inputs of each node and an operation for each, uniformly."""
        cells = {kind: self._random_cell(kind, generator) for kind in KINDS}
        return DartsArchitecture(cells["normal"], cells["reduce"])

    def _random_cell(self, kind: str, generator: Generator) -> DartsCell:
        pairs: list[Pair] = []
        for target in CONCAT:
            sources = torch.randperm(target, generator=generator)[:2].sort().values.tolist()
            for source in sources:
                known = self._choices.real(kind, CellEdge(source, target))
                pick = int(torch.randint(len(known), (), generator=generator))
                pairs.append((known[pick], source))
        return DartsCell(tuple(pairs), CONCAT)

    def size(self) -> int:
        """Return the number of choices of two inputs and their operations, of all nodes."""
        return math.prod(self._size_of_node(kind, node) for kind in KINDS for node in CONCAT)

    def _size_of_node(self, kind: str, node: int) -> int:
        known = [len(self._choices.real(kind, CellEdge(source, node))) for source in range(node)]
        return sum(one * other for one, other in itertools.combinations(known, 2))

    def mutate(self, architecture: DartsArchitecture, generator: Generator) -> DartsArchitecture:
        """Return a random neighbour."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (), generator=generator))]

    def neighbors(self, architecture: DartsArchitecture) -> Iterator[DartsArchitecture]:
        """Yield every architecture that differs in one operation or in one input.

        The two inputs of a node stay different. An operation that is no candidate of its new
        edge is replaced by each candidate that the old edge lacks.
        """
        for cell in self._cell_neighbors("normal", architecture.normal):
            yield DartsArchitecture(cell, architecture.reduce)
        for cell in self._cell_neighbors("reduce", architecture.reduce):
            yield DartsArchitecture(architecture.normal, cell)

    def _cell_neighbors(self, kind: str, cell: DartsCell) -> Iterator[DartsCell]:
        for position, (name, source) in enumerate(cell.pairs):
            target = 2 + position // 2
            other = cell.pairs[position ^ 1][1]
            old_known = self._choices.real(kind, CellEdge(source, target))
            options: list[Pair] = [(new, source) for new in old_known if new != name]
            for new_source in range(target):
                if new_source not in (source, other):
                    known = self._choices.real(kind, CellEdge(new_source, target))
                    fitting = [name] if name in known else [n for n in known if n not in old_known]
                    options += [(new, new_source) for new in fitting]
            for pair in options:
                pairs = (*cell.pairs[:position], pair, *cell.pairs[position + 1 :])
                yield DartsCell(pairs, cell.concat)
