"""NAS-Bench-201 cells without the operations that change nothing."""

from __future__ import annotations

from functools import cache

from balenas_space_nb201._architecture import EDGES, NB201Architecture, all_architectures

_Class = tuple[str, tuple[str, ...]]


def pruned(architecture: NB201Architecture) -> NB201Architecture:
    """Replace by ``none`` what is on no path from the input to the output."""
    edges = list(zip(EDGES, architecture.operations, strict=True))
    fed, used = {EDGES[0].source}, {EDGES[-1].target}
    for edge, operation in edges:
        if operation != "none" and edge.source in fed:
            fed.add(edge.target)
    for edge, operation in reversed(edges):
        if operation != "none" and edge.target in used:
            used.add(edge.source)
    return NB201Architecture(
        tuple(
            operation if edge.source in fed and edge.target in used else "none"
            for edge, operation in edges
        )
    )


def equivalence_class(architecture: NB201Architecture) -> _Class:
    """Return what a cell computes, and with which layers; equal for equal cells.

    ``skip_connect`` is the identity and the order of a sum does not matter. The layers tell a
    convolution whose result is used twice from two convolutions of the same input.

    Args:
        architecture: A pruned cell.
    """
    terms: dict[int, list[str]] = {EDGES[0].source: ["x"]}
    for edge, operation in zip(EDGES, architecture.operations, strict=True):
        target = terms.setdefault(edge.target, [])
        if operation == "skip_connect":
            target += terms[edge.source]
        elif operation != "none":
            target.append(f"{operation}({'+'.join(sorted(terms[edge.source]))})")
    layers = sorted(set(architecture.operations) - {"none", "skip_connect"})
    counted = tuple(f"{name} {architecture.operations.count(name)}" for name in layers)
    return "+".join(sorted(terms[EDGES[-1].target])), counted


@cache
def _representatives() -> dict[_Class, NB201Architecture]:
    first: dict[_Class, NB201Architecture] = {}
    for architecture in all_architectures():
        cell = pruned(architecture)
        first.setdefault(equivalence_class(cell), cell)
    return first


def simplified(architecture: NB201Architecture) -> NB201Architecture:
    """Return the first pruned cell of those that compute the same with the same layers."""
    return _representatives()[equivalence_class(pruned(architecture))]
