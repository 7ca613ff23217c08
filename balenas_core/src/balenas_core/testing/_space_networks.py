"""Checks of a space's stand-alone networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.random import generator, seeded
from balenas_core.testing._module_state import ModuleState
from balenas_core.testing._space_base import (
    SpaceChecks,
    filled_by_shape,
    images_of,
    is_constant,
    rows_that_differ,
    with_noise,
)

_MOST_NEIGHBORS = 48


class SpaceNetworkChecks(SpaceChecks):
    """The network of an architecture computes what the architecture says, for any task."""

    def test_network_returns_logits(self) -> None:
        space = self.space()
        for task in (self.task, self.other_task):
            with seeded(0):
                network = space.network(space.random(generator(0)), task)
            assert isinstance(network, nn.Module), f"network() must be a module; got {network!r}"
            assert_logits(network(images_of(task, 4)), task, 4, "network")

    def test_proxies_see_the_same_space(self) -> None:
        space = self.space()
        seen = space.for_proxies()
        assert isinstance(seen, type(space)), (
            f"for_proxies() must be the same space at another size; got {type(seen).__name__}"
        )
        assert seen.decisions == space.decisions, (
            "for_proxies() has other decisions: architectures of the search must be its own"
        )
        architecture = self.alive(space)
        with seeded(0):
            network = seen.network(seen.simplified(architecture), self.task)
        assert_logits(network(images_of(self.task, 4)), self.task, 4, "for_proxies().network()")

    def test_networks_of_one_architecture_are_independent_and_follow_the_seed(self) -> None:
        space = self.space()
        architecture = space.random(generator(0))
        networks = []
        for seed in (1, 1, 2):
            with seeded(seed):
                networks.append(space.network(architecture, self.task))
        first, again, other = networks
        shared = shares_memory(first, again)
        assert not shared, f"two networks share {shared}; build new layers in every call"
        states = [network.state_dict() for network in networks]
        differing = [k for k, v in states[0].items() if not torch.equal(v, states[1][k])]
        assert not differing, (
            f"{differing[0]} differs between two networks of one seed: initialise weights from "
            f"torch's global generator, which balenas seeds"
        )
        assert any(not torch.equal(v, states[2][k]) for k, v in states[0].items()), (
            "networks of two seeds have equal weights; do not seed inside of network()"
        )
        del other

    def test_networks_state_is_complete(self) -> None:
        space = self.space()
        architecture = self.alive(space)
        networks = []
        for seed in (1, 2):
            with seeded(seed):
                networks.append(with_noise(space.network(architecture, self.task), seed).eval())
        networks[1].load_state_dict(networks[0].state_dict())
        images = images_of(self.task)
        with torch.no_grad():
            same = torch.allclose(networks[0](images), networks[1](images), atol=1e-5)
        assert same, (
            "a network with another's state_dict computes something else: keep weights in "
            "parameters, buffers and nn.ModuleList, not in plain lists or attributes"
        )

    def test_networks_learn_and_forget_nothing_between_calls(self) -> None:
        space = self.space()
        with seeded(0):
            network = space.network(self.alive(space), self.task)
        images = images_of(self.task, 4)
        before = images.clone()
        network(images).square().sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert gradients, "no parameter of network() gets a gradient"
        assert all(g.isfinite().all() for g in gradients), "a gradient of network() is not finite"
        assert torch.equal(images, before), "network() changes its images; work out of place"
        network.eval()
        state = ModuleState(network)
        with torch.no_grad(), seeded(0):
            first = network(images)
        with torch.no_grad(), seeded(1):
            again = network(images)
        assert torch.equal(first, again), "in evaluation mode, equal images give equal logits"
        changes = state.changes()
        assert not changes, f"in evaluation mode, forward changes {changes}"

    def test_evaluation_looks_at_one_image_at_a_time(self) -> None:
        space = self.space()
        with seeded(0):
            network = space.network(self.alive(space), self.task)
        images = images_of(self.task, 4)
        network(images)
        network = network.double().eval()
        with torch.no_grad():
            together = network(images.double())
            alone = torch.cat([network(image[None].double()) for image in images])
        assert torch.allclose(together, alone, atol=1e-8), (
            "in evaluation mode the logits of an image depend on the others of its batch: "
            "use running statistics in network()"
        )

    def test_every_slot_matters_in_the_network(self) -> None:
        space = self.space()
        asked: set[Any] = set()
        heard: set[Any] = set()
        for architecture in (self.alive(space), *self.sample(space)[:2]):
            reference, form = self._fingerprint(space, architecture), space.simplified(architecture)
            for neighbor, rows in _slots_by_neighbor(space, architecture):
                if rows <= heard or space.simplified(neighbor) == form:
                    continue
                asked |= rows
                if self._fingerprint(space, neighbor) != reference:
                    heard |= rows
            if asked and asked == heard:
                return
        assert heard or not asked, (
            "network() is the same for an architecture and all of its neighbours: build it from "
            "the architecture"
        )
        assert asked == heard, (
            f"changes in {sorted(asked - heard)[:6]} change nothing in network(): build it from "
            f"every slot"
        )

    def test_canonical_form_computes_the_same(self) -> None:
        space = self.space()
        for architecture in self.sample(space):
            forms = {space.canonical(architecture): "canonical"}
            forms.setdefault(space.simplified(architecture), "simplified")
            forms.pop(architecture, None)
            outcomes = {a: _outcome(space, a, self.task, True) for a in (architecture, *forms)}
            for once, name in forms.items():
                if is_constant(outcomes[once]) and is_constant(outcomes[architecture]):
                    continue  # whatever the constant is
                assert torch.allclose(outcomes[once], outcomes[architecture], atol=1e-6), (
                    f"{name} makes {once} of {architecture}, whose network computes something "
                    f"else; merge only architectures of one function"
                )

    def test_networks_follow_their_architecture(self) -> None:
        space = self.space()
        sample = self.sample(space)[:5]
        prints = {self._fingerprint(space, a) for a in sample}
        forms = {str(space.simplified(a)) for a in sample}
        assert len(prints) > 1 or len(forms) == 1, (
            f"{len(forms)} random architectures have one and the same network: build network() "
            f"from its architecture"
        )

    def test_labels_of_a_formula_name_parameters(self) -> None:
        space = self.space()
        network = space.network(space.random(generator(0)), self.task)
        labels = space.formula_labels(network)
        unknown = set(labels or ()) - {name for name, _ in network.named_parameters()}
        assert not unknown, f"formula_labels names {sorted(unknown)}, which are no parameters"

    def _fingerprint(self, space: AnySpace, architecture: Any) -> tuple[float, ...]:
        """Return an output with weights by shape: equal for networks that are alike."""
        outcome = _outcome(space, architecture, self.task)
        return tuple(round(value, 6) for value in outcome.flatten().tolist())


def _outcome(space: AnySpace, architecture: Any, task: Task, is_blind: bool = False) -> Tensor:
    with seeded(0), torch.no_grad():
        network = space.network(architecture, task).double()
        outcome: Tensor = filled_by_shape(network, is_blind=is_blind)(images_of(task, 3).double())
    return outcome


def assert_logits(logits: Any, task: Task, count: int, what: str) -> None:
    """Check that a network returns logits.

    Raises:
        AssertionError: It returns something else; the message says what.
    """
    assert isinstance(logits, Tensor), (
        f"{what} must return a tensor of logits; got {type(logits).__name__}"
    )
    assert tuple(logits.shape) == (count, task.num_classes), (
        f"{what} must return {(count, task.num_classes)} logits, images x classes, for {task}; got "
        f"{tuple(logits.shape)}. Take channels and classes from the task"
    )
    assert logits.isfinite().all(), f"{what} returns logits that are not finite: {logits}"
    values = logits.detach().double()
    is_probability = bool((values >= 0).all()) and torch.allclose(
        values.sum(-1), torch.ones(count, dtype=torch.float64), atol=1e-5
    )
    is_log = torch.allclose(values.exp().sum(-1), torch.ones(count, dtype=torch.float64), atol=1e-5)
    assert not is_probability, f"{what} returns probabilities; return logits, without softmax"
    assert not is_log, f"{what} returns log-probabilities; return logits, without log_softmax"


def shares_memory(one: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of parameters and buffers of one that lie in the memory of the other."""
    blocks = {t.untyped_storage().data_ptr() for t in _all_tensors(other).values() if t.numel()}
    return [
        name
        for name, tensor in _all_tensors(one).items()
        if tensor.numel() and tensor.untyped_storage().data_ptr() in blocks
    ]


def _all_tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _slots_by_neighbor(space: AnySpace, architecture: Any) -> list[tuple[Any, set[Any]]]:
    """Return neighbours, few enough to build, and the rows in which each differs."""
    weights = space.one_hot(architecture)
    neighbors = list(space.neighbors(architecture))
    step = 1 + len(neighbors) // _MOST_NEIGHBORS
    return [
        (other, set(rows_that_differ(weights, space.one_hot(other)))) for other in neighbors[::step]
    ]
