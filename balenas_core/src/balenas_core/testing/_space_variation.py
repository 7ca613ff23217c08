"""Checks of how a space draws, varies, encodes and discretises architectures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from balenas_core.interfaces.space import AnySpace
from balenas_core.random import generator
from balenas_core.testing._module_state import same
from balenas_core.testing._space_base import SpaceChecks, relaxed, rows_that_differ

_DRAWS = 200
_MOST_MUTATIONS = 300
_MOST_UNEVEN = 12.0
_MOST_REPLACED = 60


class SpaceVariationChecks(SpaceChecks):
    """Random draws, neighbours, mutations, one-hot weights and their discretisation."""

    def test_random_is_a_function_of_the_generator(self) -> None:
        space = self.space()
        torch.manual_seed(1)
        first = [space.random(generator(seed)) for seed in range(20)]
        torch.manual_seed(2)
        again = [space.random(generator(seed)) for seed in range(20)]
        assert first == again, (
            "random must draw from its generator alone: pass generator=generator to every call"
        )
        assert len(set(first)) > 1, "random is the same for every generator; draw from it"
        source = generator(0)
        row = [space.random(source) for _ in range(20)]
        assert len(set(row)) > 1, "draws from one generator are all alike; let it move on"

    def test_random_reaches_every_choice_evenly(self) -> None:
        space, source = self.space(), generator(0, "even")
        counts = {d.name: torch.zeros(d.shape) for d in space.decisions}
        for _ in range(_DRAWS):
            for name, row in space.one_hot(space.random(source)).items():
                counts[name] += row
        for d in space.decisions:
            if d.weighs_edges:  # it decides nothing
                continue
            of_choice = counts[d.name].sum(0)
            never = [c for c, n in zip(d.choices, of_choice.tolist(), strict=True) if n == 0]
            assert not never, (
                f"of {_DRAWS} random architectures none has {never} in {d.name!r}: draw from all "
                f"choices, or leave those out of the decision"
            )
            uneven = (of_choice.max() / of_choice.min()).item()
            assert uneven <= _MOST_UNEVEN, (
                f"random draws a choice of {d.name!r} {uneven:.0f} times as often as another; draw "
                f"uniformly: {dict(zip(d.choices, of_choice.int().tolist(), strict=True))}"
            )
            fixed = [
                slot
                for slot, row in zip(d.slots, counts[d.name], strict=True)
                if len(d.choices) > 1 and row.max() == _DRAWS
            ]
            assert not fixed, f"random never varies {fixed} of {d.name!r}"

    def test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape(self) -> None:
        space = self.space()
        for architecture in self.sample(space):
            weights = space.one_hot(architecture)
            assert set(weights) == {d.name for d in space.decisions}, (
                f"one_hot must have the decisions' names; got {list(weights)}"
            )
            for d in space.decisions:
                row = weights[d.name]
                assert tuple(row.shape) == d.shape, (
                    f"one_hot[{d.name!r}] must be {d.shape}, slots x choices; got "
                    f"{tuple(row.shape)}"
                )
                assert row.dtype == torch.get_default_dtype(), f"one_hot is {row.dtype}"
                assert ((row == 0) | (row == 1)).all(), f"one_hot[{d.name!r}] is not 0 or 1: {row}"
            # A table of one edge is zero where its node has other inputs.
            assert any(row.any() for row in weights.values()), "one_hot chooses nothing at all"
            again = space.one_hot(architecture)
            for name, row in weights.items():
                before = row.clone()
                row.fill_(2)
                assert (again[name] == before).all(), "one_hot must return new tensors in each call"

    def test_one_hot_weights_discretize_to_their_architecture(self) -> None:
        space = self.space()
        for architecture in self.sample(space):
            weights = space.one_hot(architecture)
            found = space.discretize(weights)
            assert found == architecture, (
                f"discretize(one_hot(a)) must be a; of {architecture} it is {found}"
            )
            blurred = {k: 0.9 * w + 0.1 / w.shape[-1] for k, w in weights.items()}
            found = space.discretize(blurred)
            assert found == architecture, (
                f"the largest weights of {architecture} must win; discretize returned {found}"
            )

    def test_discretize_reads_its_weights_and_leaves_them_alone(self) -> None:
        space = self.space()
        found = []
        for seed in range(10):
            weights = relaxed(space, seed)
            before = {name: value.clone() for name, value in weights.items()}
            found.append(space.discretize(weights))
            changed = [name for name, value in weights.items() if not same(value, before[name])]
            assert not changed, f"discretize changes the weights {changed}; work on copies"
            learned = {name: value.clone().requires_grad_() for name, value in weights.items()}
            assert space.discretize(learned) == found[-1], "weights with gradients must do, too"
            assert space.parse(str(found[-1])) == found[-1], f"{found[-1]} is not of the space"
        assert len(set(found)) > 1, "discretize returns the same whatever the weights are"

    def test_neighbors_are_symmetric_and_mutations_are_neighbors(self) -> None:
        space = self.space()
        architecture = space.random(generator(0))
        neighbors = list(space.neighbors(architecture))
        assert neighbors, f"neighbors of {architecture}: there are none"
        assert architecture not in neighbors, "an architecture is not its own neighbour"
        assert len(set(neighbors)) == len(neighbors), "neighbors yields some twice"
        assert list(space.neighbors(architecture)) == neighbors, (
            "neighbors must come in the same order at every call"
        )
        for other in neighbors[:: max(1, len(neighbors) // 4)]:
            assert architecture in space.neighbors(other), (
                f"{other} is a neighbour of {architecture}, but not the other way round"
            )
            assert space.parse(str(other)) == other, f"the neighbour {other} is not of the space"
        before = str(architecture)
        for seed in range(5):
            mutated = space.mutate(architecture, generator(seed))
            assert mutated in neighbors, f"mutate made {mutated}, which is no neighbour"
        assert str(architecture) == before, "mutate must not change its architecture"

    def test_neighbors_differ_in_one_decision_and_are_complete(self) -> None:
        space = self.space()
        architecture = space.random(generator(0))
        neighbors = set(space.neighbors(architecture))
        replaced = _with_one_row_replaced(space, architecture)
        missing = [other for other, is_new in replaced if is_new and other not in neighbors]
        assert not missing, (
            f"neighbors of {architecture} leaves out {missing[0]}, which differs in one decision"
        )
        if all(is_new for _, is_new in replaced):  # every slot can be changed alone
            weights = space.one_hot(architecture)
            far = [
                other
                for other in list(neighbors)[:_MOST_REPLACED]
                if len(rows_that_differ(weights, space.one_hot(other))) > 1
            ]
            assert not far, f"{far[0]} differs from {architecture} in more than one decision"

    def test_mutations_follow_the_generator_and_reach_every_slot(self) -> None:
        space = self.space()
        architecture = space.random(generator(0))
        torch.manual_seed(1)
        first = [space.mutate(architecture, generator(seed)) for seed in range(10)]
        torch.manual_seed(2)
        again = [space.mutate(architecture, generator(seed)) for seed in range(10)]
        assert first == again, "mutate must draw from its generator alone"
        weights = space.one_hot(architecture)
        neighbors = list(space.neighbors(architecture))
        slots = _changed_slots(space, weights, neighbors)
        source = generator(0, "mutations")
        wanted = min(_MOST_MUTATIONS, 12 * len(slots))
        seen = _changed_slots(
            space, weights, [space.mutate(architecture, source) for _ in range(wanted)]
        )
        missing = sorted(set(slots) - set(seen))
        assert len(missing) <= len(slots) // 3, (
            f"{wanted} mutations never changed {missing[:5]}; mutate must reach every neighbour"
        )


def _changed_slots(
    space: AnySpace, weights: dict[str, torch.Tensor], others: list[Any]
) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for other, count in Counter(others).items():
        for row in rows_that_differ(weights, space.one_hot(other)):
            found[row] += count
    return found


def _with_one_row_replaced(space: AnySpace, architecture: Any) -> list[tuple[Any, bool]]:
    """Return what one-hot weights with one changed row stand for, and whether they say so."""
    weights = space.one_hot(architecture)
    places = [
        (d.name, slot, choice)
        for d in space.decisions
        for slot, choice in torch.cartesian_prod(
            torch.arange(d.shape[0]), torch.arange(d.shape[1])
        ).tolist()
        if not weights[d.name][slot, choice]
    ]
    found = []
    for name, slot, choice in places[:: 1 + len(places) // _MOST_REPLACED]:
        changed = {key: value.clone() for key, value in weights.items()}
        changed[name][slot] = 0
        changed[name][slot, choice] = 1
        other = space.discretize(changed)
        found.append((other, not rows_that_differ(changed, space.one_hot(other))))
    return found
