"""The model card: what a network is, how to use it, where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from balenas_core.interfaces.format import Format
from balenas_core.scores.description import describe_network
from balenas_timm.export._markdown import block, code, table, text
from balenas_timm.export._source import Source
from balenas_timm.models import model_name
from balenas_timm.weights import Blueprint

_FRONT = """---
library_name: timm
pipeline_tag: image-classification
tags:
- image-classification
- neural-architecture-search
- balenas
---
"""
_MOST_CLASSES = 100
_KNOWN = frozenset({"architecture", "space"})
"""Facts of a training that the card states elsewhere."""


def model_card(
    source: Source, format: Format, origin: str, difference: float, *, is_normalizing: bool
) -> str:
    """Return the card as Markdown.

    Args:
        source: The network.
        format: How it is stored.
        origin: The format's name, and who has published it.
        difference: Largest difference of its logits from PyTorch's, on random images.
        is_normalizing: Whether it normalises images itself.
    """
    blueprint = source.blueprint
    parts = [
        _FRONT,
        f"# {text(model_name(blueprint.space.name))}\n",
        "An image classifier whose architecture was found by neural architecture search.\n",
        *(f"> **Note:** {text(warning)}\n" for warning in source.warnings),
        _facts(source, origin, difference),
        *_use(format, blueprint),
        _input(blueprint, is_normalizing=is_normalizing),
        *_classes(blueprint),
        "## Architecture\n",
        _architecture(blueprint),
        *_origin(blueprint.provenance),
    ]
    return "\n".join(parts)


def _use(format: Format, blueprint: Blueprint) -> Iterator[str]:
    if format.usage:
        yield "## Use\n"
        yield format.usage.replace("{shape}", _shape(blueprint)) + "\n"


def _facts(source: Source, origin: str, difference: float) -> str:
    blueprint = source.blueprint
    described = describe_network(source.network, blueprint.input_shape)
    rows = {
        "search space": code(blueprint.space.name),
        "parameters": f"{described.parameters:,}",
        "multiply-adds": f"{described.multiply_adds:,}",
        "images": _shape(blueprint),
        "classes": str(blueprint.num_classes),
        "weights": text(source.weights),
        "format": text(origin),
        **_test_accuracy(blueprint.provenance),
        "largest difference from PyTorch": f"{difference:.1e}",
    }
    return table(("", ""), rows.items())


def _test_accuracy(provenance: Mapping[str, Any]) -> dict[str, str]:
    training = provenance.get("training") or {}
    if not {"test_accuracy", "test_images"} <= training.keys():
        return {}
    images = "held-out training" if training.get("is_held_out") else "test"
    value = f"{training['test_accuracy']:.2f} % of {training['test_images']:,} {images} images"
    return {"test accuracy": value}


def _shape(blueprint: Blueprint) -> str:
    return " x ".join(map(str, blueprint.input_shape))


def _input(blueprint: Blueprint, *, is_normalizing: bool) -> str:
    normalization = blueprint.normalization
    if normalization is None:
        how = "How the images have to be normalised is not known."
    elif is_normalizing:
        how = "It takes RGB or grey values in 0..1 and normalises them itself."
    else:
        how = (
            "Images are normalised first: `(x - mean) / std` for values `x` in 0..1, by channel, "
            f"with mean {_numbers(normalization.mean)} and std {_numbers(normalization.std)}."
        )
    size = f"The network was built for images of {_shape(blueprint)}"
    if blueprint.crop < 1:
        resized = round(min(blueprint.input_shape[1:]) / blueprint.crop)
        size += f": the centre of images whose shorter side was resized to {resized}"
    return f"{how} {size}.\n"


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _classes(blueprint: Blueprint) -> Iterator[str]:
    names = blueprint.class_names
    if names is not None and len(names) <= _MOST_CLASSES:
        yield "Classes, in order: " + ", ".join(map(code, names)) + ".\n"


def _architecture(blueprint: Blueprint) -> str:
    architecture = blueprint.build_space().parse(blueprint.architecture)
    drawn = "\n\n".join(cell.to_text() for cell in architecture.cells())
    options = yaml.safe_dump(blueprint.space.model_dump(mode="json"), sort_keys=False)
    cells = block("text", f"{blueprint.architecture}\n\n{drawn}")
    return f"{cells}\n\nOptions of the search space:\n\n{block('yaml', options)}\n"


def _origin(provenance: Mapping[str, Any]) -> Iterator[str]:
    search, training = provenance.get("search"), provenance.get("training")
    recipe = provenance.get("recipe")
    if search is not None:
        yield "## Search\n"
        yield from _search(search)
    if training is not None:
        yield "## Training\n"
        facts = {k.replace("_", " "): v for k, v in training.items() if k not in _KNOWN}
        yield _table(("", ""), facts.items())
    if search is not None:
        yield "## Reproduce\n"
        yield from _reproduction(search, recipe)


def _search(search: Mapping[str, Any]) -> Iterator[str]:
    config = search["config"]
    accuracy = search["inherited_accuracy"]
    rows = {
        **{key: config[key]["name"] for key in ("optimizer", "distribution", "selector", "data")},
        "epochs": config["training"]["epochs"],
        "seed": config["seed"],
        "date": search["created"],
        "candidates": search["candidates"],
        **{f"score: {name}": score for name, score in search["scores"].items()},
        "accuracy with inherited weights": None if accuracy is None else f"{accuracy:.2f} %",
    }
    yield _table(("", ""), rows.items())
    if search["benchmark"]:
        columns = ("dataset", "metric", "value", "best", "regret", "rank")
        entries = ([entry.get(name) for name in columns] for entry in search["benchmark"])
        yield _table(columns, entries)
    if search["versions"]:
        versions = (text(f"{name} {version}") for name, version in search["versions"].items())
        yield "Versions: " + ", ".join(versions) + ".\n"


def _reproduction(search: Mapping[str, Any], recipe: Mapping[str, Any] | None) -> Iterator[str]:
    yield from _file("config.yaml", search["config"])
    commands = ["balenas search config.yaml --output runs/again"]
    if recipe is not None:
        yield from _file("recipe.yaml", recipe)
        commands.append("balenas train runs/again --config recipe.yaml")
    yield "```sh\n" + "\n".join(commands) + "\n```\n"


def _file(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"`{name}`:\n"
    yield block("yaml", yaml.safe_dump(values, sort_keys=False)) + "\n"


def _plain(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    return table(header, ([text(_plain(cell)) for cell in row] for row in rows))
