"""Checks of a space's supernet, and of the networks that inherit its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import AnySpace, Decision, Supernet, Task
from balenas_core.random import seeded
from balenas_core.scores.network_batch import BatchPass, BatchPassProxy, score_batch
from balenas_core.scores.network_pass import NetworkPass
from balenas_core.testing._module_state import ModuleState
from balenas_core.testing._space_base import SpaceChecks, double, images_of, relaxed, with_noise
from balenas_core.testing._space_networks import assert_logits, shares_memory

_LAYER_NAMES = ("weight", "bias")
_BASES = 3


class SpaceSupernetChecks(SpaceChecks):
    """The supernet mixes all architectures, holds none, and hands its weights on."""

    def supernet(self, space: AnySpace, task: Task | None = None, *, seed: int = 0) -> Supernet:
        """Build the supernet, in float64, with noise on what starts as zero."""
        with seeded(seed):
            supernet = space.supernet(task or self.task)
        assert isinstance(supernet, Supernet), (
            f"derive {type(supernet).__name__} from balenas_core.Supernet"
        )
        with_noise(supernet.double(), seed)
        return supernet

    def test_supernet_owns_no_architecture_parameter_and_returns_logits(self) -> None:
        space = self.space()
        for task in (self.task, self.other_task):
            supernet = self.supernet(space, task)
            for d in space.decisions:
                owned = _parameters_like(supernet, d)
                assert not owned, (
                    f"the supernet owns {owned}, of the shape of decision {d.name!r}: architecture "
                    f"parameters belong to the distribution and enter by `weights`"
                )
            weights = {k: w.double().requires_grad_() for k, w in relaxed(space, 0).items()}
            logits = supernet(images_of(task, 4).double(), weights)
            assert_logits(logits, task, 4, "the supernet")
            logits.square().sum().backward()
            for name, w in weights.items():
                assert w.grad is not None, (
                    f"the supernet's logits have no gradient in weights[{name!r}]: mix operations "
                    f"by these weights, without argmax or detach"
                )
                assert w.grad.isfinite().all(), f"a gradient in weights[{name!r}] is not finite"

    def test_every_slot_and_choice_matters_in_the_supernet(self) -> None:
        space = self.space()
        supernet = self.supernet(space).eval()
        images = images_of(self.task, 2).double()
        felt = {d.name: torch.zeros(d.shape, dtype=torch.bool) for d in space.decisions}
        for seed in range(_BASES):
            weights = {k: w.double().requires_grad_() for k, w in relaxed(space, seed).items()}
            logits = supernet(images, weights)
            logits.square().sum().backward()
            for name, w in weights.items():
                assert w.grad is not None, f"weights[{name!r}] has no gradient"
                felt[name] |= w.grad != 0
        for d in space.decisions:
            deaf = [slot for slot, row in zip(d.slots, felt[d.name], strict=True) if not row.any()]
            assert not deaf, (
                f"nothing in the supernet depends on {deaf} of {d.name!r}: use every slot, or "
                f"leave those out of the decision"
            )
            deaf = [c for c, col in zip(d.choices, felt[d.name].T, strict=True) if not col.any()]
            assert len(deaf) <= 1, (
                f"nothing in the supernet depends on the choices {deaf} of {d.name!r}; only one, "
                f"that means nothing at all, can be without effect"
            )

    def test_supernet_is_a_function_of_its_arguments(self) -> None:
        space = self.space()
        supernet = self.supernet(space).eval()
        images = images_of(self.task).double()
        one, other = (double(relaxed(space, seed)) for seed in (1, 2))
        before = images.clone(), {name: w.clone() for name, w in one.items()}
        state = ModuleState(supernet)
        with torch.no_grad():
            first, between, again = (supernet(images, w) for w in (one, other, one))
        assert torch.equal(images, before[0]), "the supernet changes its images"
        changed = [name for name, w in one.items() if not torch.equal(w, before[1][name])]
        assert not changed, f"the supernet changes weights[{changed}]; work out of place"
        assert torch.equal(first, again), (
            "the supernet remembers earlier calls; compute from images and weights alone"
        )
        assert not torch.allclose(first, between), "the supernet ignores its weights"
        changes = state.changes()
        assert not changes, f"in evaluation mode, the supernet's forward changes {changes}"

    def test_supernet_takes_rows_of_zeros(self) -> None:
        space = self.space()
        supernet = self.supernet(space)
        images = images_of(self.task).double()
        for d in space.decisions:
            weights = double(relaxed(space, 0))
            weights[d.name][0] = 0
            with torch.no_grad():
                logits = supernet(images, weights)
            assert logits.isfinite().all(), (
                f"the supernet fails where all weights of a slot of {d.name!r} are zero, as when "
                f"an edge is left out; add nothing there"
            )

    def test_supernet_has_its_weights_in_its_state_and_from_the_seed(self) -> None:
        space = self.space()
        states = []
        for seed in (1, 2):
            with seeded(seed):
                states.append(space.supernet(self.task).state_dict())
        assert any(not torch.equal(v, states[1][k]) for k, v in states[0].items()), (
            "supernets of two seeds are equal; do not seed inside of supernet()"
        )
        first, other = (self.supernet(space, seed=seed).eval() for seed in (1, 2))
        images, weights = images_of(self.task).double(), double(relaxed(space, 0))
        with torch.no_grad():
            expected = first(images, weights)
            shared = shares_memory(first, other)
            assert not shared, f"two supernets share {shared}; build new layers in every call"
            other.load_state_dict(first.state_dict())
            assert torch.allclose(other(images, weights), expected), (
                "a supernet with another's state_dict computes something else: keep weights in "
                "parameters, buffers and nn.ModuleList, not in plain lists or attributes"
            )
            again = copy.deepcopy(first)
            assert torch.allclose(again(images, weights), expected), "a copy computes otherwise"

    def test_supernet_uses_all_of_its_parameters(self) -> None:
        space = self.space()
        supernet = self.supernet(space)
        weights = double(relaxed(space, 0))
        supernet(images_of(self.task, 4).double(), weights).square().sum().backward()
        unused = [name for name, p in supernet.named_parameters() if p.grad is None]
        assert not unused, (
            f"with all weights above zero, {unused[:4]} of the supernet get no gradient: remove "
            f"layers that are never used"
        )

    def test_supernet_at_one_hot_weights_is_the_inherited_network(self) -> None:
        space = self.space()
        for task in (self.task, self.other_task):
            supernet = self.supernet(space, task)
            images = images_of(task, 4).double()
            for architecture in self.sample(space)[: 4 if task is self.task else 1]:
                weights = double(space.one_hot(architecture))
                network = space.inherit(supernet, architecture)
                with torch.no_grad():
                    expected = supernet.eval()(images, weights)
                    found = network.eval()(images)
                assert_logits(found, task, 4, "inherit()'s network")
                assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9), (
                    f"inherit() of {architecture} and the supernet at one_hot weights differ by "
                    f"{(found - expected).abs().max():.3g}: copy every weight and buffer of the "
                    f"chosen operations, and compute the same"
                )

    def test_inherited_networks_are_copies_of_their_part(self) -> None:
        space = self.space()
        supernet = self.supernet(space)
        state = ModuleState(supernet)
        sizes = []
        for architecture in self.sample(space)[:4]:
            network = space.inherit(supernet, architecture)
            shared = shares_memory(network, supernet)
            assert not shared, (
                f"inherit() shares {shared[:3]} with the supernet: copy them, or training the "
                f"network changes the supernet"
            )
            assert {p.dtype for p in network.parameters()} <= {torch.float64}, (
                "inherit() must keep the supernet's type of numbers"
            )
            assert all(p.requires_grad for p in network.parameters()), "inherit() froze parameters"
            network(images_of(self.task, 4).double()).square().sum().backward()
            sizes.append(sum(p.numel() for p in network.parameters()))
        changes = state.changes()
        assert not changes, f"inherit() changes the supernet: {changes[:4]}"
        whole = sum(p.numel() for p in supernet.parameters())
        assert max(sizes) <= whole, (
            f"an inherited network has more weights than the supernet: {sizes}"
        )
        assert min(sizes) < whole, (
            "every inherited network has all of the supernet's weights: take the chosen part alone"
        )

    def test_a_batch_of_networks_computes_what_each_does(self) -> None:
        space = self.space()
        supernet = self.supernet(space).train()
        architectures = self.sample(space)[:3]
        batch = space.network_batch(supernet, architectures)
        if batch is None:
            return
        images = images_of(self.task, 4).double()
        labels = torch.arange(4) % self.task.num_classes
        found = [
            row["size"]
            for row in score_batch(batch, Batch(images, labels), {"size": _OutputSize()})
        ]
        for architecture, size in zip(architectures, found, strict=True):
            with torch.no_grad():
                expected = _size(space.inherit(supernet, architecture).train()(images))
            assert abs(size - expected) <= 1e-9 * expected, (
                f"network_batch computes for {architecture} something else than inherit()"
            )


class _OutputSize(BatchPassProxy):
    """Looks at the logits of many networks."""

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        return lambda: _size(run.logits)

    def attach_batch(self, run: BatchPass) -> Callable[[], Sequence[float]]:
        return lambda: [_size(logits) for logits in run.logits]


def _size(logits: Tensor) -> float:
    return logits.detach().square().sum().item()


def _parameters_like(supernet: nn.Module, decision: Decision) -> list[str]:
    """Return parameters and buffers that look like a table of weights of a decision."""
    rows, columns = decision.shape
    tensors: dict[str, Tensor] = {
        **dict(supernet.named_parameters()),
        **dict(supernet.named_buffers()),
    }
    own = {k: t for k, t in tensors.items() if k.rpartition(".")[2] not in _LAYER_NAMES}
    tables = [k for k, t in own.items() if t.dim() > 1 and t.squeeze().shape == (rows, columns)]
    vectors = [k for k, t in own.items() if tuple(t.shape) == (columns,) and columns > 1]
    flat = [k for k, t in own.items() if tuple(t.shape) == (rows * columns,) and rows > 1]
    return tables + flat + (vectors if len(vectors) == rows else [])
