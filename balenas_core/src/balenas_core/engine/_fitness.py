"""Whether what plugins return is what a search can work with, looked at before it begins.

Plugins of others alone: those of balenas are held against the conformance kit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from balenas_core.config import SearchConfig
from balenas_core.engine.components import Components
from balenas_core.errors import (
    ArchitectureError,
    BalenasError,
    PluginLoadError,
    UnfitError,
    is_out_of_memory,
    told,
)
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.selection import Candidate, Selection
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.plugins.foreign import foreign_code
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.ref import PluginRef
from balenas_core.plugins.registry import Registry
from balenas_core.random import generator, seeded
from balenas_core.selectors import check_scores

_SECTIONS = {
    "space": "space",
    "dataset": "data",
    "distribution": "distribution",
    "optimizer": "optimizer",
    "selector": "selector",
}


def check_components(components: Components, config: SearchConfig, registry: Registry) -> None:
    """Look at what the space, the data set and the distribution of a search return.

    Raises:
        PluginLoadError: One of them returns what no search can work with.
    """
    checks: dict[str, Callable[[], None]] = {
        "dataset": lambda: check_data(components.dataset),
        "space": lambda: check_space(components.space, components.task),
        "distribution": lambda: check_weights(components),
    }
    for kind, check in checks.items():
        ref = _ref(kind, config, registry)
        # What was registered in this process is its own code.
        if ref is None or ref.entry is None or is_first_party(ref.distribution):
            continue
        with naming(config, registry):
            try:
                who = f"{kind} plugin {ref.name!r} (from {ref.origin})"
                with foreign_code(who, "while it was looked at"), seeded(0):
                    check()
            except BalenasError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise UnfitError(kind, f"it raised {told(error)}") from error


@contextmanager
def naming(config: SearchConfig, registry: Registry) -> Iterator[None]:
    """Name the plugin that returns what nothing can be made of.

    Raises:
        PluginLoadError: In place of an ``UnfitError``.
    """
    try:
        yield
    except UnfitError as error:
        ref = _ref(error.kind, config, registry)
        if ref is None:
            raise
        raise PluginLoadError(
            f"{error.kind} plugin {ref.name!r} ({ref.target}, from {ref.origin}) cannot be used: "
            f"{error}. {ref.remedy}"
        ) from error


def _ref(kind: str, config: SearchConfig, registry: Registry) -> PluginRef | None:
    name = getattr(config, _SECTIONS[kind]).name
    return registry.find(kind, name) if registry.has(kind, name) else None


def check_space(space: AnySpace, task: Task) -> None:
    """Check architectures and one network of a space; its decisions are checked already.

    Raises:
        UnfitError: One of them is none.
    """
    decisions = space.decisions
    drawn = space.random(generator(0, "look"))
    favoured = space.discretize({d.name: torch.full(d.shape, 1 / d.shape[1]) for d in decisions})
    for method, architecture in (("random", drawn), ("discretize", favoured)):
        if not isinstance(architecture, Architecture):
            raise UnfitError(
                "space", f"{method}() must return an Architecture; got {_kind(architecture)}"
            )
    _check_text(space, drawn)
    network = space.network(drawn, task)
    if not isinstance(network, nn.Module):
        raise UnfitError("space", f"network() must return a torch.nn.Module; got {_kind(network)}")


def _check_text(space: AnySpace, architecture: Architecture) -> None:
    text = str(architecture)
    try:
        read = space.parse(text)
    except ArchitectureError as error:
        raise UnfitError(
            "space", f"parse() refuses the text of its own {text!r}: {error}"
        ) from error
    if read != architecture:
        raise UnfitError("space", f"parse() reads {text!r} as another architecture: {read}")


def check_data(dataset: ImageDataset) -> None:
    """Check shape, labels and one image of a data set.

    Raises:
        UnfitError: One of them is none.
    """
    shape = dataset.input_shape
    if len(shape) != 3 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise UnfitError("dataset", f"input_shape must be (channels, height, width); got {shape!r}")
    if isinstance(dataset.class_names, str) or not all(
        isinstance(name, str) for name in dataset.class_names
    ):
        raise UnfitError(
            "dataset", f"class_names must be a list of text; got {dataset.class_names!r}"
        )
    if len(dataset.train) == 0:
        return  # which is told of every data set
    image = dataset.train[0]
    if not isinstance(image, torch.Tensor) or image.dtype != torch.uint8 or image.dim() != 3:
        raise UnfitError(
            "dataset",
            f"images must be uint8 tensors of channels x height x width; got {_kind(image)}",
        )
    for name, transform in (("normalize", dataset.normalize), ("augment", dataset.augment)):
        made = transform(image)
        if not isinstance(made, torch.Tensor) or not made.is_floating_point():
            raise UnfitError("dataset", f"{name}() must return a float tensor; got {_kind(made)}")
        if tuple(made.shape) != tuple(shape):
            raise UnfitError(
                "dataset", f"{name}() must return {tuple(shape)}; got {tuple(made.shape)}"
            )
        if not made.isfinite().all():
            raise UnfitError("dataset", f"{name}() makes an image that is not finite")


def check_weights(components: Components) -> None:
    """Check the weights of a distribution.

    Raises:
        UnfitError: They are not those of the space's decisions.
    """
    distribution, decisions = components.distribution, components.space.decisions
    draws = generator(0, "look")
    with torch.no_grad():
        found = {
            "mean_weights": distribution.mean_weights(),
            "weights": distribution.weights(draws),
            "draw_weights": distribution.draw_weights(draws),
        }
    for method, weights in found.items():
        if not isinstance(weights, Mapping):
            raise UnfitError(
                "distribution", f"{method}() must return a mapping; got {_kind(weights)}"
            )
        shapes = {name: tuple(table.shape) for name, table in weights.items()}
        if shapes != {d.name: d.shape for d in decisions}:
            raise UnfitError(
                "distribution",
                f"{method}() must return a table for each decision, "
                f"{ {d.name: d.shape for d in decisions} }; got {shapes}",
            )
        for name, table in weights.items():
            if not table.isfinite().all() or (table < 0).any():
                raise UnfitError(
                    "distribution", f"{method}()[{name!r}] has weights that are no shares"
                )


def check_selection(selection: object, space: AnySpace) -> None:
    """Check what a selector has chosen.

    Raises:
        UnfitError: It is no selection of this space.
        SelectionError: There are scores, and none is finite.
    """
    if not isinstance(selection, Selection):
        raise UnfitError("selector", f"select() must return a Selection; got {_kind(selection)}")
    if not selection.candidates:
        raise UnfitError("selector", "select() must return at least one candidate; got none")
    for candidate in selection.candidates:
        if not isinstance(candidate, Candidate):
            raise UnfitError("selector", f"candidates must be Candidates; got {_kind(candidate)}")
        for name, score in (*candidate.scores.items(), *candidate.costs.items()):
            if not isinstance(score, int | float):
                raise UnfitError("selector", f"score {name!r} must be a number; got {_kind(score)}")
    chosen = selection.chosen.architecture
    if not _is_of(space, chosen):
        raise UnfitError("selector", f"it chose {chosen!s:.80}, which is none of the space's")
    check_scores([candidate.scores for candidate in selection.candidates])


def _is_of(space: AnySpace, architecture: object) -> bool:
    try:
        return bool(space.parse(str(architecture)) == architecture)
    except ArchitectureError:
        return False


def _kind(value: object) -> str:
    return "nothing" if value is None else f"an object of {type(value).__name__}"
