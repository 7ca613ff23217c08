"""Toy spaces with one mistake each can be made of these."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell
from balenas_core.interfaces.space import Supernet, Task
from balenas_core.testing import SearchSpaceConformance, ToyArchitecture, ToySpace

KIT = SearchSpaceConformance
FIELDS = {"provides": ("supernet",)}
OPERATIONS = ("none", "skip", "conv")


def having(supernet=None, network=None, **methods):
    """Return the toy space with other methods, or another supernet or network."""
    if supernet is not None:

        def build(self, task):
            made = ToySpace.supernet(self, task)
            supernet(made)
            return made

        methods["supernet"] = build
    if network is not None:

        def build_network(self, architecture, task):
            made = ToySpace.network(self, architecture, task)
            network(made)
            return made

        methods["network"] = build_network
    return type("Planted", (ToySpace,), methods)


def forward(change):
    """Return what gives a module another forward: ``change(old, self, *arguments)``."""

    def plant(module):
        old = type(module).forward
        new = type(
            "Planted",
            (type(module),),
            {"forward": lambda self, *arguments: change(old, self, *arguments)},
        )
        module.__class__ = new

    return plant


def own_logits(net):
    net.alphas = nn.Parameter(torch.zeros(2, 3))
    forward(lambda old, s, x, w: old(s, x, {"operations": w["operations"] + s.alphas}))(net)


def own_vectors(net):
    net.alphas = nn.ParameterList(nn.Parameter(torch.zeros(3)) for _ in range(2))
    forward(
        lambda old, s, x, w: old(
            s, x, {"operations": w["operations"] + torch.stack(list(s.alphas))}
        )
    )(net)


def unused_layer(net):
    net.unused = nn.Linear(3, 3)


def hidden_layer(net):
    net.hidden = [nn.Linear(net.classifier.out_features, net.classifier.out_features)]
    forward(lambda old, s, x, *w: s.hidden[0].to(x.dtype)(old(s, x, *w)))(net)


def remembers(old, self, x, *weights):
    last = vars(self).get("last", 0.0)
    out = old(self, x, *weights)
    vars(self)["last"] = out.detach().mean()
    return out + last


def first_slot_only(old, self, x, weights):
    table = weights["operations"]
    return old(
        self, x, {"operations": torch.stack([table[0], torch.tensor([0.0, 1, 0]).to(table)])}
    )


def ignores_a_choice(old, self, x, weights):
    table = weights["operations"].clone()
    table[:, 1:] = table[:, 1:].sum(-1, keepdim=True) * torch.tensor([0.0, 1.0]).to(table)
    return old(self, x, {"operations": table})


def network_of(text):
    def network(self, architecture, task):
        return ToySpace.network(self, self.parse(text), task)

    return network


def first_slot_network(self, architecture, task):
    first = ToyArchitecture((architecture.operations[0], "skip"))
    return ToySpace.network(self, first, task)


def shared(method, cache):
    def shared(self, *arguments):
        key = tuple(str(a) for a in arguments if not isinstance(a, Supernet))
        if key not in cache:
            cache[key] = getattr(ToySpace, method)(self, *arguments)
        return cache[key]

    return shared


def seeded(method):
    def seeded(self, *arguments):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return getattr(ToySpace, method)(self, *arguments)

    return seeded


def for_task(method, *, channels=None, classes=None):
    def build(self, *arguments):
        task = arguments[-1]
        other = Task(
            (channels or task.input_shape[0], *task.input_shape[1:]), classes or task.num_classes
        )
        return getattr(ToySpace, method)(self, *arguments[:-1], other)

    return build


def inherit(change):
    def inherit(self, supernet, architecture):
        network = ToySpace.inherit(self, supernet, architecture)
        change(network, supernet)
        return network

    return inherit


def share_stem(network, supernet):
    network.stem = supernet.stem


def fresh_stem(network, supernet):
    network.stem.reset_parameters()


class WholeSupernet(nn.Module):
    def __init__(self, supernet, weights):
        super().__init__()
        import copy

        self.supernet, self.weights = copy.deepcopy(supernet), weights

    def forward(self, x):
        return self.supernet(x, {k: w.to(x.dtype) for k, w in self.weights.items()})


def decisions(*decisions):
    return property(lambda self: decisions)


def lenient_parse(self, text):
    operations = [o for o in text.split("-") if o in OPERATIONS][:2]
    return ToyArchitecture(tuple([*operations, "skip", "skip"][:2]))


def lenient_after(self, text):
    return ToySpace.parse(self, "-".join(text.replace("?", "-").split("-")[:2]))


def key_error_parse(self, text):
    first, second = text.split("-")
    by_name = {operation: operation for operation in OPERATIONS}
    return ToyArchitecture((by_name[first], by_name[second]))


def silent_parse(self, text):
    try:
        return ToySpace.parse(self, text)
    except ArchitectureError:
        raise ArchitectureError("") from None


def sign_discretize(self, weights):
    return ToySpace.discretize(self, {k: -w for k, w in weights.items()})


def in_place_discretize(self, weights):
    for w in weights.values():
        w.detach().mul_(2)
    return ToySpace.discretize(self, weights)


def numpy_discretize(self, weights):
    return ToySpace.discretize(self, {k: torch.from_numpy(w.numpy()) for k, w in weights.items()})


def some_neighbors(self, architecture):
    return itertools.islice(ToySpace.neighbors(self, architecture), 3)


def far_neighbors(self, architecture):
    yield from ToySpace.neighbors(self, architecture)
    for other in self.architectures():
        if all(x != y for x, y in zip(other.operations, architecture.operations, strict=True)):
            yield other


def one_way_neighbors(self, architecture):
    for other in ToySpace.neighbors(self, architecture):
        if str(other) > str(architecture):
            yield other


def mutate_first(self, architecture, generator):
    others = [o for o in OPERATIONS if o != architecture.operations[0]]
    pick = int(torch.randint(2, (1,), generator=generator))
    return ToyArchitecture((others[pick], architecture.operations[1]))


def biased(self, generator):
    rare = torch.rand((2,), generator=generator) < 0.03
    return ToyArchitecture(tuple("conv" if r else "skip" for r in rare.tolist()))


def without_last(self, generator):
    first, second = torch.randint(2, (2,), generator=generator).tolist()
    return ToyArchitecture((OPERATIONS[first], OPERATIONS[second]))


def by_seed(self, generator):
    return ToySpace.random(self, torch.Generator().manual_seed(generator.initial_seed() % 1000))


@dataclass(eq=True)
class Loose(Architecture):
    operations: tuple = field(default=("skip", "skip"))

    def __str__(self):
        return "-".join(self.operations)

    cells = ToyArchitecture.cells
    __hash__ = None


@dataclass
class Mutable(Architecture):
    operations: tuple = ("skip", "skip")

    def __str__(self):
        return "-".join(self.operations)

    def __hash__(self):
        return hash(self.operations)

    cells = ToyArchitecture.cells


def of(cls):
    """Return methods by which a space has architectures of another class."""

    def convert(architecture):
        return cls(architecture.operations)

    return {
        "parse": lambda self, text: convert(ToySpace.parse(self, text)),
        "random": lambda self, generator: convert(ToySpace.random(self, generator)),
        "discretize": lambda self, weights: convert(ToySpace.discretize(self, weights)),
        "mutate": lambda self, a, g: convert(ToySpace.mutate(self, a, g)),
        "neighbors": lambda self, a: map(convert, ToySpace.neighbors(self, a)),
        "architectures": lambda self: map(convert, ToySpace.architectures(self)),
        "canonical": lambda self, a: convert(ToySpace.canonical(self, a)),
    }  # fmt: skip


def with_cells(cells):
    """Return a toy space whose architectures have other cells."""
    cls = type("Drawn", (ToyArchitecture,), {"cells": cells, "__reduce__": lambda self: (
        ToyArchitecture, (self.operations,))})  # fmt: skip
    return having(**of(cls))


NODES = ("in", "middle", "out")


def cell(*edges, outputs=("out",), nodes=NODES[1:]):
    return lambda self: (Cell("toy", ("in",), nodes, outputs, edges),)


def squeezing(old, self, x, *weights):
    return old(self, x, *weights).squeeze()


def batch_mean(old, self, x, *weights):
    return old(self, x, *weights) - old(self, x, *weights).mean(0)


def detached(old, self, x, w):
    return old(self, x, {k: v.detach() for k, v in w.items()})


def hard(old, self, x, w):
    return old(self, x, {k: F.one_hot(v.argmax(-1), 3).to(v) for k, v in w.items()})


def softmaxed(old, self, x, w):
    return old(self, x, {k: v.softmax(-1) for k, v in w.items()})


def normalised(old, self, x, w):
    return old(self, x, {k: v / v.sum(-1, keepdim=True) for k, v in w.items()})


def in_place(old, self, x, *w):
    return old(self, x.mul_(0.5), *w)


def in_place_weights(old, self, x, w):
    with torch.no_grad():
        for table in w.values():
            table.mul_(0.9)
    return old(self, x, w)


def size_bound(old, self, x, *w):
    return old(self, x, *w) + 0 * x[:, :, :16, 15].sum()


def double_constant(net):
    forward(lambda old, s, x, *w: old(s, x, *w) @ torch.eye(net.classifier.out_features))(net)
