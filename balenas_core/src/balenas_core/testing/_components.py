"""Checks of distributions, optimizers, proxies, selectors and datasets."""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from balenas_core.distributions import PointDistribution
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.selection import Selector
from balenas_core.interfaces.space import Decision, Weights
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator, seeded
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy import ToyObjective, ToySpace, toy_context

_DECISIONS = (
    Decision("operations", ("first", "second"), ("none", "skip", "conv")),
    Decision("other", ("a",), ("x", "y")),
)


def _values(weights: Weights) -> Tensor:
    return torch.cat([weights[d.name].detach().flatten() for d in _DECISIONS])


class DistributionConformance(PluginConformance):
    """Relaxed weights are on the simplex, draws follow the generator, the state is complete."""

    kind = "distribution"

    def distribution(self, seed: int = 0) -> ArchitectureDistribution:
        """Build the distribution over two small decisions."""
        distribution: ArchitectureDistribution = self.build(
            decisions=_DECISIONS, generator=generator(seed)
        )
        return distribution

    def test_weights_are_rows_of_probabilities_of_the_decisions_shape(self) -> None:
        distribution = self.distribution()
        for weights in (
            distribution.weights(generator(0)),
            distribution.mean_weights(),
            distribution.draw_weights(generator(0)),
        ):
            for decision in _DECISIONS:
                row = weights[decision.name]
                assert row.shape == decision.shape
                assert (row >= 0).all()
                torch.testing.assert_close(row.sum(-1), torch.ones(decision.shape[0]))

    def test_weights_are_differentiable_in_the_parameters(self) -> None:
        distribution = self.distribution()
        weights = distribution.weights(generator(0))
        torch.stack([weights[d.name][:, 0].sum() for d in _DECISIONS]).sum().backward()
        gradients = [p.grad for p in distribution.parameters() if p.grad is not None]
        assert gradients
        assert all(g.isfinite().all() for g in gradients)

    def test_draws_are_a_function_of_the_generator(self) -> None:
        distribution = self.distribution()
        first = _values(distribution.draw_weights(generator(5)))
        assert torch.equal(first, _values(distribution.draw_weights(generator(5))))
        assert not torch.equal(first, _values(distribution.draw_weights(generator(6))))

    def test_state_dict_restores_the_distribution(self) -> None:
        source, target = self.distribution(0), self.distribution(1)
        target.load_state_dict(source.state_dict())
        torch.testing.assert_close(_values(target.mean_weights()), _values(source.mean_weights()))

    def test_entropy_and_statistics_are_finite_numbers(self) -> None:
        distribution = self.distribution()
        assert math.isfinite(distribution.entropy().item())
        assert all(math.isfinite(value) for value in distribution.statistics().values())


class OptimizerConformance(PluginConformance):
    """Steps descend, leave the supernet alone, and go on exactly from a saved state."""

    kind = "optimizer"
    steps: ClassVar[int] = 200

    def pair(self, seed: int = 0) -> tuple[ArchitectureDistribution, ArchitectureOptimizer]:
        """Build the optimizer with its default distribution over ``ToySpace``."""
        name = self.ref().load().defaults["distribution"]
        distribution: ArchitectureDistribution = (
            default_registry()
            .find("distribution", name)
            .build(decisions=ToySpace().decisions, generator=generator(seed, "distribution"))
        )
        optimizer: ArchitectureOptimizer = self.build(
            distribution=distribution, dataset_size=1000, generator=generator(seed, "optimizer")
        )
        return distribution, optimizer

    def test_steps_lower_the_loss_at_the_mean(self) -> None:
        distribution, optimizer = self.pair()
        if not optimizer.uses_supernet:
            return
        objective = ToyObjective(ToySpace().decisions)
        before = objective(distribution.mean_weights()).item()
        for _ in range(self.steps):
            assert math.isfinite(optimizer.step(objective))
        assert objective(distribution.mean_weights()).item() < before

    def test_a_restored_optimizer_takes_the_same_steps(self) -> None:
        distribution, optimizer = self.pair(0)
        if not optimizer.uses_supernet:
            assert optimizer.state_dict() == {}
            return
        objective = ToyObjective(ToySpace().decisions)
        for _ in range(3):
            optimizer.step(objective)
        other_distribution, other = self.pair(1)
        other_distribution.load_state_dict(copy.deepcopy(distribution.state_dict()))
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for _ in range(3):
            optimizer.step(objective)
            other.step(objective)
        for ours, theirs in zip(
            distribution.parameters(), other_distribution.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)

    def test_a_loss_that_is_not_finite_changes_nothing(self) -> None:
        distribution, optimizer = self.pair()
        if not optimizer.uses_supernet:
            return
        before = copy.deepcopy(distribution.state_dict())
        objective = ToyObjective(ToySpace().decisions)
        objective.targets["operations"].fill_(math.nan)
        from balenas_core.errors import DivergenceError

        try:
            optimizer.step(objective)
        except DivergenceError:
            after = distribution.state_dict()
            assert all(torch.equal(before[key], after[key]) for key in before)
        else:
            raise AssertionError("a NaN loss must raise DivergenceError")


class ProxyConformance(PluginConformance):
    """A proxy is deterministic, never NaN, and leaves no trace in the network."""

    kind = "proxy"

    def test_scores_are_reproducible_and_leave_the_network_untouched(self) -> None:
        proxy: Proxy = self.build()
        context = toy_context(_point())
        for text in ("conv-conv", "conv-skip", "none-none"):
            with seeded(0):
                network = context.space.network(context.space.parse(text), context.task)
            before = copy.deepcopy(network.state_dict())
            modes = [module.training for module in network.modules()]
            with seeded(1):
                first = proxy.score(network, context.batch)
            with seeded(1):
                second = proxy.score(network, context.batch)
            assert first == second
            assert not math.isnan(first)
            _assert_untouched(network, before, modes)


class SelectorConformance(PluginConformance):
    """A selection is ranked from one, without duplicates, and follows its generator."""

    kind = "selector"

    def test_candidates_are_ranked_distinct_and_reproducible(self) -> None:
        selector: Selector = self.build()
        first = selector.select(toy_context(_point())).candidates
        again = selector.select(toy_context(_point())).candidates
        assert first == again
        assert [c.rank for c in first] == list(range(1, len(first) + 1))
        space = ToySpace()
        forms = [space.canonical(c.architecture) for c in first]  # type: ignore[arg-type]
        assert len(set(forms)) == len(forms)


class DatasetConformance(PluginConformance):
    """A dataset's images, labels and transforms agree with what it declares."""

    kind = "dataset"

    def test_images_and_labels_are_as_declared(self) -> None:
        dataset: ImageDataset = self.build()
        assert len(dataset.train) == len(dataset.train.labels)
        assert dataset.train.labels.min() >= 0
        assert dataset.train.labels.max() < dataset.num_classes
        for transform in (dataset.augment, dataset.normalize):
            with seeded(0):
                image = transform(dataset.train[0])
            assert tuple(image.shape) == dataset.input_shape
            assert image.dtype == torch.float32
            assert image.isfinite().all()

    def test_normalisation_is_deterministic(self) -> None:
        dataset: ImageDataset = self.build()
        image = dataset.train[0]
        assert torch.equal(dataset.normalize(image), dataset.normalize(image))


def _point() -> PointDistribution:
    return PointDistribution(PointOptions(), decisions=ToySpace().decisions, generator=generator(0))


def _assert_untouched(network: nn.Module, before: dict[str, Tensor], modes: list[bool]) -> None:
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert [module.training for module in network.modules()] == modes
    assert all(p.grad is None for p in network.parameters())
