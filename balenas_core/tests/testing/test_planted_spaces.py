"""Mistakes of search spaces, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from planted import assert_found, faults, held_against
from torch import nn

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell, Edge
from balenas_core.interfaces.space import Decision, Supernet, Task
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


def _own_logits(net):
    net.alphas = nn.Parameter(torch.zeros(2, 3))
    forward(lambda old, s, x, w: old(s, x, {"operations": w["operations"] + s.alphas}))(net)


def _own_vectors(net):
    net.alphas = nn.ParameterList(nn.Parameter(torch.zeros(3)) for _ in range(2))
    forward(
        lambda old, s, x, w: old(
            s, x, {"operations": w["operations"] + torch.stack(list(s.alphas))}
        )
    )(net)


def _unused_layer(net):
    net.unused = nn.Linear(3, 3)


def _hidden_layer(net):
    net.hidden = [nn.Linear(net.classifier.out_features, net.classifier.out_features)]
    forward(lambda old, s, x, *w: s.hidden[0].to(x.dtype)(old(s, x, *w)))(net)


def _remembers(old, self, x, *weights):
    last = vars(self).get("last", 0.0)
    out = old(self, x, *weights)
    vars(self)["last"] = out.detach().mean()
    return out + last


def _first_slot_only(old, self, x, weights):
    table = weights["operations"]
    return old(
        self, x, {"operations": torch.stack([table[0], torch.tensor([0.0, 1, 0]).to(table)])}
    )


def _ignores_a_choice(old, self, x, weights):
    table = weights["operations"].clone()
    table[:, 1:] = table[:, 1:].sum(-1, keepdim=True) * torch.tensor([0.0, 1.0]).to(table)
    return old(self, x, {"operations": table})


def _network_of(text):
    def network(self, architecture, task):
        return ToySpace.network(self, self.parse(text), task)

    return network


def _first_slot_network(self, architecture, task):
    first = ToyArchitecture((architecture.operations[0], "skip"))
    return ToySpace.network(self, first, task)


def _shared(method, cache):
    def shared(self, *arguments):
        key = tuple(str(a) for a in arguments if not isinstance(a, Supernet))
        if key not in cache:
            cache[key] = getattr(ToySpace, method)(self, *arguments)
        return cache[key]

    return shared


def _seeded(method):
    def seeded(self, *arguments):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return getattr(ToySpace, method)(self, *arguments)

    return seeded


def _for_task(method, *, channels=None, classes=None):
    def build(self, *arguments):
        task = arguments[-1]
        other = Task(
            (channels or task.input_shape[0], *task.input_shape[1:]), classes or task.num_classes
        )
        return getattr(ToySpace, method)(self, *arguments[:-1], other)

    return build


def _inherit(change):
    def inherit(self, supernet, architecture):
        network = ToySpace.inherit(self, supernet, architecture)
        change(network, supernet)
        return network

    return inherit


def _share_stem(network, supernet):
    network.stem = supernet.stem


def _fresh_stem(network, supernet):
    network.stem.reset_parameters()


class WholeSupernet(nn.Module):
    def __init__(self, supernet, weights):
        super().__init__()
        import copy

        self.supernet, self.weights = copy.deepcopy(supernet), weights

    def forward(self, x):
        return self.supernet(x, {k: w.to(x.dtype) for k, w in self.weights.items()})


def _decisions(*decisions):
    return property(lambda self: decisions)


def _lenient_parse(self, text):
    operations = [o for o in text.split("-") if o in OPERATIONS][:2]
    return ToyArchitecture(tuple([*operations, "skip", "skip"][:2]))


def _lenient_after(self, text):
    return ToySpace.parse(self, "-".join(text.replace("?", "-").split("-")[:2]))


def _key_error_parse(self, text):
    first, second = text.split("-")
    by_name = {operation: operation for operation in OPERATIONS}
    return ToyArchitecture((by_name[first], by_name[second]))


def _silent_parse(self, text):
    try:
        return ToySpace.parse(self, text)
    except ArchitectureError:
        raise ArchitectureError("") from None


def _sign_discretize(self, weights):
    return ToySpace.discretize(self, {k: -w for k, w in weights.items()})


def _in_place_discretize(self, weights):
    for w in weights.values():
        w.detach().mul_(2)
    return ToySpace.discretize(self, weights)


def _numpy_discretize(self, weights):
    return ToySpace.discretize(self, {k: torch.from_numpy(w.numpy()) for k, w in weights.items()})


def _some_neighbors(self, architecture):
    return itertools.islice(ToySpace.neighbors(self, architecture), 3)


def _far_neighbors(self, architecture):
    yield from ToySpace.neighbors(self, architecture)
    yield from (a for a in self.architectures()
                if all(x != y for x, y in zip(a.operations, architecture.operations, strict=True)))  # fmt: skip


def _one_way_neighbors(self, architecture):
    for other in ToySpace.neighbors(self, architecture):
        if str(other) > str(architecture):
            yield other


def _mutate_first(self, architecture, generator):
    others = [o for o in OPERATIONS if o != architecture.operations[0]]
    pick = int(torch.randint(2, (1,), generator=generator))
    return ToyArchitecture((others[pick], architecture.operations[1]))


def _biased(self, generator):
    rare = torch.rand((2,), generator=generator) < 0.03
    return ToyArchitecture(tuple("conv" if r else "skip" for r in rare.tolist()))


def _without_last(self, generator):
    first, second = torch.randint(2, (2,), generator=generator).tolist()
    return ToyArchitecture((OPERATIONS[first], OPERATIONS[second]))


def _by_seed(self, generator):
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


def _of(cls):
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
    return having(**_of(cls))


_NODES = ("in", "middle", "out")


def _cell(*edges, outputs=("out",), nodes=_NODES[1:]):
    return lambda self: (Cell("toy", ("in",), nodes, outputs, edges),)


def _squeezing(old, self, x, *weights):
    return old(self, x, *weights).squeeze()


def _batch_mean(old, self, x, *weights):
    return old(self, x, *weights) - old(self, x, *weights).mean(0)


def _detached(old, self, x, w):
    return old(self, x, {k: v.detach() for k, v in w.items()})


def _hard(old, self, x, w):
    return old(self, x, {k: F.one_hot(v.argmax(-1), 3).to(v) for k, v in w.items()})


def _softmaxed(old, self, x, w):
    return old(self, x, {k: v.softmax(-1) for k, v in w.items()})


def _normalised(old, self, x, w):
    return old(self, x, {k: v / v.sum(-1, keepdim=True) for k, v in w.items()})


def _in_place(old, self, x, *w):
    return old(self, x.mul_(0.5), *w)


def _in_place_weights(old, self, x, w):
    with torch.no_grad():
        for table in w.values():
            table.mul_(0.9)
    return old(self, x, w)


def _size_bound(old, self, x, *w):
    return old(self, x, *w) + 0 * x[:, :, :16, 15].sum()


def _double_constant(net):
    forward(lambda old, s, x, *w: old(s, x, *w) @ torch.eye(net.classifier.out_features))(net)


MISTAKES = {
    "the network ignores its architecture": (
        type("P", (ToySpace,), {"network": _network_of("conv-skip")}),
        "test_every_slot_matters_in_the_network",
        "one and the same|build it",
    ),
    "the network ignores its second slot": (
        type("P", (ToySpace,), {"network": _first_slot_network}),
        "test_every_slot_matters_in_the_network",
        "every slot|build it from",
    ),
    "one network for all calls": (
        type("P", (ToySpace,), {"network": _shared("network", {})}),
        "test_networks_of_one_architecture_are_independent_and_follow_the_seed",
        "build new layers",
    ),
    "the network seeds": (
        type("P", (ToySpace,), {"network": _seeded("network")}),
        "test_networks_of_one_architecture_are_independent_and_follow_the_seed",
        "do not seed|seeds torch",
    ),
    "the network has three channels": (
        type("P", (ToySpace,), {"network": _for_task("network", channels=3)}),
        "test_network_returns_logits",
        "channels",
    ),
    "the network has ten classes": (
        type("P", (ToySpace,), {"network": _for_task("network", classes=10)}),
        "test_network_returns_logits",
        "from the task",
    ),
    "the network returns probabilities": (
        having(network=forward(lambda o, s, x: o(s, x).softmax(-1))),
        "test_network_returns_logits",
        "without softmax",
    ),
    "the network returns log-probabilities": (
        having(network=forward(lambda o, s, x: o(s, x).log_softmax(-1))),
        "test_network_returns_logits",
        "without log_softmax",
    ),
    "the network returns a pair": (
        having(network=forward(lambda o, s, x: (o(s, x), None))),
        "test_network_returns_logits",
        "tensor of logits",
    ),
    "the network squeezes": (
        having(network=forward(_squeezing)),
        "test_evaluation_looks_at_one_image_at_a_time",
        "depend|RuntimeError|shape|must",
    ),
    "the network mixes images": (
        having(network=forward(_batch_mean)),
        "test_evaluation_looks_at_one_image_at_a_time",
        "depend on the others",
    ),
    "the network remembers": (
        having(network=forward(_remembers)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "equal images|changes|depend",
    ),
    "the network hides a layer": (
        having(network=_hidden_layer),
        "test_networks_state_is_complete",
        "plain lists",
    ),
    "the network changes its images": (
        having(network=forward(_in_place)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "out of place",
    ),
    "the network is fixed to 16 pixels": (
        having(network=forward(_size_bound)),
        "test_network_returns_logits",
        "IndexError|size",
    ),
    "the network has a constant of float32": (
        having(network=_double_constant),
        "test_canonical_form_computes_the_same",
        "double|dtype",
    ),
    "the network is frozen": (
        having(network=lambda n: n.requires_grad_(False)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "gradient|grad",
    ),
    "canonical merges all": (
        having(canonical=lambda self, a: ToyArchitecture(("none", "none"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
    "canonical merges some": (
        having(canonical=lambda self, a: ToyArchitecture((a.operations[0], "skip"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
    "canonical goes in circles": (
        having(
            canonical=lambda self, a: (
                ToyArchitecture(a.operations[::-1])
                if a.operations[0] != a.operations[1] and "none" in a.operations
                else a
            )
        ),
        "test_canonical_form_is_its_own_canonical_form",
        "must be itself",
    ),
    "canonical returns text": (
        having(canonical=lambda self, a: str(a)),
        "test_canonical_form_is_its_own_canonical_form",
        "must return an arch",
    ),
    "simplified merges all": (
        having(simplified=lambda self, a: ToyArchitecture(("none", "none"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
    "the supernet owns logits": (
        having(supernet=_own_logits),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "belong to the distribution",
    ),
    "the supernet owns a vector for each slot": (
        having(supernet=_own_vectors),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "belong to the d",
    ),
    "the supernet has an unused layer": (
        having(supernet=_unused_layer),
        "test_supernet_uses_all_of_its_parameters",
        "never used",
    ),
    "the supernet hides a layer": (
        having(supernet=_hidden_layer),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "plain lists|copy every",
    ),
    "the supernet remembers": (
        having(supernet=forward(_remembers)),
        "test_supernet_is_a_function_of_its_arguments",
        "earlier calls|changes",
    ),
    "the supernet ignores its weights": (
        having(
            supernet=forward(
                lambda o, s, x, w: o(s, x, {k: torch.full_like(v, 1 / 3) for k, v in w.items()})
            )
        ),
        "test_supernet_is_a_function_of_its_arguments",
        "no gradient in weights|ignores its weights",
    ),
    "the supernet uses one slot": (
        having(supernet=forward(_first_slot_only)),
        "test_every_slot_and_choice_matters_in_the_supernet",
        "depends on",
    ),
    "the supernet ignores a choice": (
        having(supernet=forward(_ignores_a_choice)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "depends on|copy every weight",
    ),
    "the supernet detaches weights": (
        having(supernet=forward(_detached)),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "detach|does not req",
    ),
    "the supernet takes the argmax": (
        having(supernet=forward(_hard)),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "argmax|not require",
    ),
    "the supernet applies a softmax": (
        having(supernet=forward(_softmaxed)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "copy every weight",
    ),
    "the supernet divides by the sum of a row": (
        having(supernet=forward(_normalised)),
        "test_supernet_takes_rows_of_zeros",
        "zero",
    ),
    "the supernet changes its images": (
        having(supernet=forward(_in_place)),
        "test_supernet_is_a_function_of_its_arguments",
        "changes its images",
    ),
    "the supernet changes its weights": (
        having(supernet=forward(_in_place_weights)),
        "test_supernet_is_a_function_of_its_arguments",
        r"changes weights|leaf|modified",
    ),
    "the supernet returns probabilities": (
        having(supernet=forward(lambda o, s, x, w: o(s, x, w).softmax(-1))),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "without softmax",
    ),
    "the supernet has ten classes": (
        type("P", (ToySpace,), {"supernet": _for_task("supernet", classes=10)}),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "from the task",
    ),
    "the supernet has three channels": (
        type("P", (ToySpace,), {"supernet": _for_task("supernet", channels=3)}),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "channels",
    ),
    "the supernet seeds": (
        type("P", (ToySpace,), {"supernet": _seeded("supernet")}),
        "test_supernet_has_its_weights_in_its_state_and_from_the_seed",
        "do not seed|seeds",
    ),
    "one supernet for all calls": (
        type("P", (ToySpace,), {"supernet": _shared("supernet", {})}),
        "test_supernet_has_its_weights_in_its_state_and_from_the_seed",
        "build new|do not seed|equal",
    ),
    "the supernet is fixed to 16 pixels": (
        having(supernet=forward(_size_bound)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "IndexError|size",
    ),
    "inherit shares a layer": (
        having(inherit=_inherit(_share_stem)),
        "test_inherited_networks_are_copies_of_their_part",
        "copy them",
    ),
    "inherit forgets a layer": (
        having(inherit=_inherit(_fresh_stem)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "copy every weight",
    ),
    "inherit freezes": (
        having(inherit=_inherit(lambda n, s: n.requires_grad_(False))),
        "test_inherited_networks_are_copies_of_their_part",
        "froze",
    ),
    "inherit converts": (
        having(inherit=_inherit(lambda n, s: n.float())),
        "test_inherited_networks_are_copies_of_their_part",
        "type of numbers|dtype",
    ),
    "inherit changes the supernet": (
        having(inherit=_inherit(lambda n, s: s.stem.weight.data.mul_(0.5))),
        "test_inherited_networks_are_copies_of_their_part",
        "changes the supernet",
    ),
    "inherit switches the supernet's mode": (
        having(inherit=_inherit(lambda n, s: s.eval())),
        "test_inherited_networks_are_copies_of_their_part",
        "changes the supernet",
    ),
    "inherit keeps everything": (
        having(inherit=lambda self, supernet, a: WholeSupernet(supernet, self.one_hot(a))),
        "test_inherited_networks_are_copies_of_their_part",
        "chosen part",
    ),
    "one slot too many": (
        having(
            decisions=_decisions(Decision("operations", ("first", "second", "third"), OPERATIONS))
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "slots x|depends|one_hot",
    ),
    "a decision nothing reads": (
        having(
            decisions=_decisions(
                Decision("operations", ("first", "second"), OPERATIONS),
                Decision("other", ("a",), ("x", "y")),
            )
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "one_hot must have",
    ),
    "names of decisions repeat": (
        having(
            decisions=_decisions(
                Decision("operations", ("first", "second"), OPERATIONS),
                Decision("operations", ("first", "second"), OPERATIONS),
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "must differ",
    ),
    "choices repeat": (
        having(
            decisions=_decisions(
                Decision("operations", ("first", "second"), ("none", "skip", "skip"))
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "repeat",
    ),
    "a point in a name": (
        having(decisions=_decisions(Decision("cell.operations", ("first", "second"), OPERATIONS))),
        "test_decisions_have_distinct_names_and_a_shape",
        "point",
    ),
    "decisions are a list": (
        having(
            decisions=property(
                lambda self: [Decision("operations", ("first", "second"), OPERATIONS)]
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "tuple",
    ),
    "no decisions": (
        having(decisions=_decisions()),
        "test_decisions_have_distinct_names_and_a_shape",
        "at least one decision",
    ),
    "parse accepts anything": (
        having(parse=_lenient_parse),
        "test_nonsense_is_refused_with_an_architecture_error",
        "parse accepted",
    ),
    "parse ignores what follows": (
        having(parse=_lenient_after),
        "test_damaged_text_is_no_silent_architecture",
        "every character",
    ),
    "parse raises ValueError": (
        having(parse=_key_error_parse),
        "test_damaged_text_is_no_silent_architecture",
        "must raise ArchitectureError",
    ),
    "parse says nothing": (
        having(parse=_silent_parse),
        "test_damaged_text_is_no_silent_architecture",
        "say in the error",
    ),
    "parse returns something else": (
        having(
            parse=lambda self, text: ToyArchitecture(ToySpace.parse(self, text).operations[::-1])
        ),
        "test_text_form_is_read_back",
        "must return the architecture",
    ),
    "random from the global generator": (
        having(random=lambda self, g: ToySpace.random(self, None)),
        "test_random_is_a_function_of_the_generator",
        "generator alone",
    ),
    "random by the seed": (
        having(random=_by_seed),
        "test_random_is_a_function_of_the_generator",
        "all alike",
    ),
    "random is constant": (
        having(random=lambda self, g: ToyArchitecture(("skip", "conv"))),
        "test_random_is_a_function_of_the_generator",
        "same for every",
    ),
    "random leaves a choice out": (
        having(random=_without_last),
        "test_random_reaches_every_choice_evenly",
        "draw from all choices",
    ),
    "random is biased": (
        having(random=_biased),
        "test_random_reaches_every_choice_evenly",
        "draw uniformly|draw from all",
    ),
    "one_hot is of integers": (
        having(one_hot=lambda self, a: {k: w.long() for k, w in ToySpace.one_hot(self, a).items()}),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "one_hot is torch.int64|int64",
    ),
    "one_hot is a probability": (
        having(
            one_hot=lambda self, a: {k: 0.8 * w + 0.1 for k, w in ToySpace.one_hot(self, a).items()}
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "not 0 or 1",
    ),
    "one_hot is shared": (
        having(one_hot=lambda self, a, made={}: made.setdefault(a, ToySpace.one_hot(self, a))),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "new tensors",
    ),
    "one_hot reverses the slots": (
        having(
            one_hot=lambda self, a: {k: w.flip(0) for k, w in ToySpace.one_hot(self, a).items()}
        ),
        "test_one_hot_weights_discretize_to_their_architecture",
        "must be a",
    ),
    "discretize takes the smallest": (
        having(discretize=_sign_discretize),
        "test_one_hot_weights_discretize_to_their_architecture",
        "must be a|must win",
    ),
    "discretize changes its weights": (
        having(discretize=_in_place_discretize),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "work on copies",
    ),
    "discretize goes through numpy": (
        having(discretize=_numpy_discretize),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "requires grad",
    ),
    "discretize is constant": (
        having(discretize=lambda self, w: ToyArchitecture(("skip", "conv"))),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "must be a|same what",
    ),
    "neighbors are left out": (
        having(neighbors=_some_neighbors),
        "test_neighbors_differ_in_one_decision_and_are_complete",
        "leaves out|no neighbour|other way",
    ),
    "neighbors are too far": (
        having(neighbors=_far_neighbors),
        "test_neighbors_differ_in_one_decision_and_are_complete",
        "more than one decision",
    ),
    "neighbors are one-way": (
        having(neighbors=_one_way_neighbors),
        "test_canonical_form_computes_the_same",
        "other way|leaves out|none",
    ),
    "neighbors contain itself": (
        having(neighbors=lambda self, a: iter([a, *ToySpace.neighbors(self, a)])),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "own neighbour",
    ),
    "neighbors come twice": (
        having(neighbors=lambda self, a: iter([*ToySpace.neighbors(self, a)] * 2)),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "twice",
    ),
    "there are no neighbors": (
        having(neighbors=lambda self, a: iter(())),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "there are none",
    ),
    "mutate changes nothing": (
        having(mutate=lambda self, a, g: a),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "no neighbour",
    ),
    "mutate changes one slot": (
        having(mutate=_mutate_first),
        "test_mutations_follow_the_generator_and_reach_every_slot",
        "never changed",
    ),
    "mutate from the global generator": (
        having(mutate=lambda self, a, g: ToySpace.mutate(self, a, None)),
        "test_mutations_follow_the_generator_and_reach_every_slot",
        "generator alone",
    ),
    "the size is wrong": (
        having(size=lambda self: 8),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        r"size\(\) says 8",
    ),
    "the size is a float": (
        having(size=lambda self: 9.0),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "whole number",
    ),
    "architectures come twice": (
        having(architectures=lambda self: iter([*ToySpace.architectures(self)] * 2)),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "twice",
    ),
    "architectures are left out": (
        having(
            architectures=lambda self: itertools.islice(ToySpace.architectures(self), 8),
            size=lambda self: 8,
        ),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "leaves out|were drawn",
    ),
    "architectures are unhashable": (
        having(**_of(Loose)),
        "test_architectures_are_immutable_values",
        "unhashable",
    ),
    "architectures can be changed": (
        having(**_of(Mutable)),
        "test_architectures_are_immutable_values",
        "frozen=True",
    ),
    "cells are always the same": (
        with_cells(_cell(Edge("in", "out", "conv"))),
        "test_cells_tell_architectures_apart",
        "same for every",
    ),
    "cells are empty": (
        with_cells(lambda self: ()),
        "test_cells_name_only_nodes_that_exist",
        "is empty",
    ),
    "cells name unknown nodes": (
        with_cells(_cell(Edge("in", "nowhere", "conv"))),
        "test_cells_name_only_nodes_that_exist",
        "not listed",
    ),
    "cells run backwards": (
        with_cells(_cell(Edge("out", "middle", "conv"))),
        "test_cells_name_only_nodes_that_exist",
        "backwards",
    ),
    "cells have unknown outputs": (
        with_cells(_cell(Edge("in", "out", "conv"), outputs=("end",))),
        "test_cells_name_only_nodes_that_exist",
        "are no nodes",
    ),
}


def test_a_good_space_passes(tmp_path):
    assert faults(held_against(KIT, ToySpace, **FIELDS), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)


def test_a_space_says_that_it_has_a_supernet(tmp_path):
    kit = held_against(KIT, ToySpace)
    assert_found(kit, "test_its_plugin_says_that_it_has_a_supernet", "provides=", tmp_path)
