"""Checks of search spaces."""

from __future__ import annotations

import itertools
from typing import ClassVar
from xml.etree import ElementTree

import torch

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.random import generator, seeded
from balenas_core.testing._plugin import PluginConformance

_COUNTED = 2000


class SearchSpaceConformance(PluginConformance):
    """A space's text form, variation, supernet and networks agree with one another."""

    kind = "space"
    task: ClassVar[Task] = Task((3, 16, 16), 5)
    samples: ClassVar[int] = 8

    def space(self) -> AnySpace:
        """Build the space."""
        space: AnySpace = self.build()
        return space

    def test_its_plugin_says_that_it_has_a_supernet(self) -> None:
        provided = self.ref().load().provides
        assert "supernet" in provided, 'declare provides=("supernet",); searches ask for it'

    def test_decisions_have_distinct_names_and_a_shape(self) -> None:
        decisions = self.space().decisions
        assert decisions
        assert len({d.name for d in decisions}) == len(decisions)
        assert all(min(d.shape) >= 1 for d in decisions)

    def test_text_form_is_read_back(self) -> None:
        space = self.space()
        for seed in range(self.samples):
            architecture = space.random(generator(seed))
            assert space.parse(str(architecture)) == architecture

    def test_architectures_are_drawn_in_notebooks(self) -> None:
        architecture = self.space().random(generator(0))
        image = ElementTree.fromstring(architecture._repr_svg_())
        title = image.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert title.text == str(architecture)

    def test_nonsense_is_refused_with_an_architecture_error(self) -> None:
        for text in ("", "no architecture", "|||", "Genotype()"):
            try:
                self.space().parse(text)
            except ArchitectureError:
                continue
            raise AssertionError(f"parse accepted {text!r}")

    def test_random_is_a_function_of_the_generator(self) -> None:
        space = self.space()
        assert space.random(generator(3)) == space.random(generator(3))
        assert len({space.random(generator(seed)) for seed in range(20)}) > 1

    def test_one_hot_weights_discretize_to_their_architecture(self) -> None:
        space = self.space()
        for seed in range(self.samples):
            architecture = space.random(generator(seed))
            assert space.discretize(space.one_hot(architecture)) == architecture

    def test_canonical_form_is_its_own_canonical_form(self) -> None:
        space = self.space()
        for seed in range(self.samples):
            once = space.canonical(space.random(generator(seed)))
            assert space.canonical(once) == once

    def test_architectures_come_once_each_and_are_as_many_as_the_size(self) -> None:
        space = self.space()
        found = [str(a) for a in itertools.islice(space.architectures() or (), _COUNTED)]
        assert len(set(found)) == len(found)
        assert all(str(space.parse(text)) == text for text in found[: self.samples])
        size = space.size()
        assert not found or size is None or len(found) == min(size, _COUNTED)

    def test_neighbors_are_symmetric_and_mutations_are_neighbors(self) -> None:
        space = self.space()
        architecture = space.random(generator(0))
        neighbors = list(space.neighbors(architecture))
        assert architecture not in neighbors
        assert len(set(neighbors)) == len(neighbors)
        assert all(architecture in space.neighbors(other) for other in neighbors[:3])
        assert space.mutate(architecture, generator(1)) in neighbors

    def test_supernet_owns_no_architecture_parameter_and_returns_logits(self) -> None:
        space, task = self.space(), self.task
        supernet = space.supernet(task)
        weights = {
            d.name: torch.full(d.shape, 1 / d.shape[1], requires_grad=True) for d in space.decisions
        }
        logits = supernet(torch.randn(2, *task.input_shape, generator=generator(0)), weights)
        assert logits.shape == (2, task.num_classes)
        logits.square().sum().backward()
        assert all(w.grad is not None and w.grad.isfinite().all() for w in weights.values())

    def test_supernet_at_one_hot_weights_is_the_inherited_network(self) -> None:
        space, task = self.space(), self.task
        with seeded(0):
            supernet = space.supernet(task).double()
        images = torch.randn(2, *task.input_shape, generator=generator(0)).double()
        for seed in range(min(self.samples, 4)):
            architecture = space.random(generator(seed))
            weights = {k: w.double() for k, w in space.one_hot(architecture).items()}
            network = space.inherit(supernet, architecture)
            with torch.no_grad():
                torch.testing.assert_close(
                    network.eval()(images), supernet.eval()(images, weights), rtol=1e-9, atol=1e-9
                )

    def test_network_returns_logits(self) -> None:
        space, task = self.space(), self.task
        network = space.network(space.random(generator(0)), task)
        images = torch.randn(2, *task.input_shape, generator=generator(0))
        assert network(images).shape == (2, task.num_classes)

    def test_cells_name_only_nodes_that_exist(self) -> None:
        space = self.space()
        for seed in range(self.samples):
            for cell in space.random(generator(seed)).cells():
                nodes = {*cell.inputs, *cell.nodes}
                assert {n for edge in cell.edges for n in (edge.source, edge.target)} <= nodes
                assert set(cell.outputs) <= nodes
                assert cell.to_text()
