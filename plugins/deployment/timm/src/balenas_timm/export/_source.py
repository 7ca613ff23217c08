"""What is exported: a network, its weights, and what is known about both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from balenas_core.config import DocumentError, SearchConfig, load_config, parse_yaml
from balenas_core.data import BatchLoader, split
from balenas_core.errors import ConfigChangedError, OutputError, UsageError
from balenas_core.files import output_errors, read_regular
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.plugins.registry import default_registry
from balenas_core.random import derive_seed, seeded
from balenas_core.runs import listing as runs
from balenas_core.runs.checkpoints import Candidates, MisfitError, loading
from balenas_core.runs.directory import RunDirectory
from balenas_core.runs.listing import RunInfo
from balenas_core.runs.resume import (
    MAY_DIFFER,
    SELECTOR,
    as_of_now,
    changes_between,
    listed,
)
from balenas_timm.export._provenance import with_readable_provenance
from balenas_timm.recipes import TRAINING
from balenas_timm.weights import (
    WEIGHTS,
    Blueprint,
    known_of,
    load_into,
    load_network,
    read_blueprint,
    read_weights,
)

_RECIPE = ("preset", "space", "training", "seed", "precision")
_MOST_RECIPE = 1 << 20
_RECALIBRATION_BATCHES = 20
"""As in the accuracy that a search reports of its choice with inherited weights."""


@dataclass(frozen=True, slots=True)
class Source:
    """A network to export.

    Args:
        network: The search space's network, in evaluation mode.
        blueprint: What it is.
        weights: Where its weights come from, in words.
        warnings: What whoever uses it should know.
    """

    network: nn.Module
    blueprint: Blueprint
    weights: str
    warnings: tuple[str, ...] = ()


def from_file(path: Path) -> Source:
    """Return the network of a safetensors file that balenas wrote.

    Raises:
        DataError: The file cannot be read, or says nothing of its network.
    """
    blueprint, warnings = with_readable_provenance(read_blueprint(path))
    return _source(load_network(path), blueprint, f"file {path.name}", *warnings)


def from_architecture(
    blueprint: Blueprint, weights: Path | None = None, *, seed: int = 0
) -> Source:
    """Return the network of an architecture.

    Args:
        blueprint: What to build.
        weights: File with its weights; None for fresh ones.
        seed: Seed of fresh weights.

    Raises:
        ArchitectureError: The architecture is not of the space.
        DataError: The weights cannot be read, or are not those of the network.
    """
    with seeded(derive_seed(seed, "network")):
        network = blueprint.build()
    if weights is not None:
        load_into(network, read_weights(weights), weights)
        return _source(network, blueprint, f"file {weights.name}")
    warning = (
        "the weights are fresh, not trained: its predictions are guesses. Train it with "
        "'balenas train', or give a file with --weights."
    )
    return _source(network, blueprint, f"fresh, seed {seed}", warning)


def from_run(
    path: Path,
    weights: Path | None = None,
    *,
    is_inherited: bool = False,
    seed: int | None = None,
) -> Source:
    """Return the network that a run has chosen.

    Args:
        path: Directory of the run.
        weights: File with its weights; by default those of its training, or, of several with
            seeds of their own, of the best on the test images; else fresh ones.
        is_inherited: Whether to take the weights, and the form, that it has in the supernet.
        seed: Seed of the training whose weights to take.

    Raises:
        UsageError: The run has chosen nothing yet, has no checkpoint to inherit from, or no
            training of this seed.
        DataError: Its data set or the weights cannot be read.
    """
    run, result = runs.read_chosen(path)
    known = {"search": _search(run, result)}
    if is_inherited:
        return _inherited(run, result, known)
    training = _training(path, seed) if weights is None else None
    if training is not None:
        found = from_file(training.folder / WEIGHTS)
        provenance = {**known, **found.blueprint.provenance, **_recipe(training.folder)}
        blueprint = found.blueprint.model_copy(update={"provenance": provenance})
        place = f"{path.name}/{training.folder.name}/{WEIGHTS}"
        return _source(found.network, blueprint, f"trained: {place}{training.reason}")
    dataset = _dataset(run.config)
    blueprint = _blueprint(run.config, result, dataset, known)
    return from_architecture(blueprint, weights, seed=run.config["seed"])


@dataclass(frozen=True, slots=True)
class _Training:
    """A training of what a run chose.

    Args:
        folder: Its directory.
        facts: What its weights say of it.
        reason: Why it is taken and no other, in words.
    """

    folder: Path
    facts: Mapping[str, Any]
    reason: str = ""


def _training(run: Path, seed: int | None) -> _Training | None:
    """Return the training whose weights are taken; None where there is none.

    Raises:
        UsageError: There is none of this seed.
    """
    found = []
    for folder in runs.training_folders(run):
        if (folder / WEIGHTS).is_file():
            facts = read_blueprint(folder / WEIGHTS).provenance.get("training")
            found.append(_Training(folder, facts if isinstance(facts, dict) else {}))
    if seed is not None:
        for training in found:
            if training.facts.get("seed") == seed:
                return training
        seeds = ", ".join(str(one.facts.get("seed", "unknown")) for one in found) or "none"
        raise UsageError(
            f"run {run} has no training of seed {seed}, but of: {seeds}. Make it with "
            f"'balenas train {run} --seeds {seed}'."
        )
    if len(found) < 2 or found[0].folder.name == runs.TRAINING:
        return found[0] if found else None
    best = max(found, key=lambda one: float(one.facts.get("test_accuracy", -1)))
    return replace(best, reason=f", the best of {len(found)} seeds on the images it was tested on")


def _blueprint(
    config: Mapping[str, Any],
    result: Mapping[str, Any],
    dataset: ImageDataset,
    provenance: Mapping[str, Any],
    **changes: bool,
) -> Blueprint:
    return Blueprint.model_validate(
        {
            "space": config["space"],
            "architecture": result["architecture"],
            "provenance": provenance,
            **known_of(dataset),
            **changes,
        }
    )


def _inherited(run: RunInfo, result: Mapping[str, Any], known: Mapping[str, Any]) -> Source:
    dataset = _dataset(run.config)
    blueprint = _blueprint(run.config, result, dataset, known, is_inherited=True)
    space = blueprint.build_space()
    supernet = _supernet(run, lambda: space.supernet(blueprint.task))
    network = space.inherit(supernet, space.parse(blueprint.architecture)).float()
    _recalibrate(network, dataset, load_config(base=run.config))
    return _source(
        network,
        blueprint,
        f"inherited from the supernet of {run.path.name}",
        "the weights are the supernet's, which are good for comparisons only; train the network "
        "with 'balenas train'.",
    )


def _supernet(run: RunInfo, build: Callable[[], nn.Module]) -> Any:
    """Return the supernet at the newest checkpoint that fits."""
    candidates = Candidates(RunDirectory(run.path).read_checkpoints())
    while (checkpoint := candidates.current) is not None:
        then, now = (
            as_of_now(settings, default_registry())
            for settings in (checkpoint.state["config"], run.config)
        )
        changes = changes_between(now, then, MAY_DIFFER | SELECTOR)
        if changes:
            raise ConfigChangedError(
                f"checkpoint {checkpoint.path} is of another configuration than its run:\n"
                f"{listed(changes, 'run')}\nleave --inherited out."
            )
        supernet = build()
        try:
            with loading():
                supernet.load_state_dict(checkpoint.state["loop"]["supernet"])
        except MisfitError as error:
            candidates.reject(error)
        else:
            return supernet
    raise UsageError(
        f"run {run.path} has no checkpoint, and with it no supernet, any more; leave "
        f"--inherited out."
    )


def _recalibrate(network: nn.Module, dataset: ImageDataset, config: SearchConfig) -> None:
    """Give batch normalisations the statistics of this network alone, as the search did."""
    training = config.training
    parts = split(
        dataset,
        training.validation_fraction,
        seed=derive_seed(config.seed, "split"),
        batch_size=training.batch_size,
    )
    loader = BatchLoader(
        parts.train,
        batch_size=training.batch_size,
        seed=derive_seed(config.seed, "train"),
        shuffle=True,
        drop_last=True,
    )
    batches = itertools.islice(loader.iterate(0), _RECALIBRATION_BATCHES)
    update_bn((batch.images for batch in batches), network)


def _dataset(config: Mapping[str, Any]) -> ImageDataset:
    options = dict(config["data"])
    ref = default_registry().find("dataset", options.pop("name"))
    model = ref.load().options
    dataset: ImageDataset = ref.build(None if model is None else model(**options))
    return dataset


def _search(run: RunInfo, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the architecture was found, without what concerns one machine only."""
    config = {key: value for key, value in run.config.items() if key != "output"}
    config["data"] = {key: value for key, value in config["data"].items() if key != "root"}
    chosen = result["candidates"][0]
    return {
        "config": config,
        "created": run.created,
        "architecture": result["architecture"],
        "candidates": len(result["candidates"]),
        "scores": chosen["scores"],
        "inherited_accuracy": result["validation_accuracy"],
        "benchmark": result["benchmark"],
        "versions": RunDirectory(run.path).read_environment().get("versions", {}),
    }


def _recipe(training: Path) -> dict[str, Any]:
    """Return the settings of a training that ``balenas train --config`` takes.

    Raises:
        OutputError: They cannot be read, or are damaged.
    """
    path = training / TRAINING.config
    try:
        with output_errors(path, verb="read"):
            stored = parse_yaml(read_regular(path, limit=_MOST_RECIPE).decode()).data
        known = {key: stored[key] for key in _RECIPE if key in stored}
    except (DocumentError, TypeError, ValueError) as error:
        raise OutputError(
            f"{path} is damaged ({error}). Remove {training} and train again, or export other "
            f"weights with --weights."
        ) from error
    if not known:
        raise OutputError(
            f"{path} is damaged: it has no settings. Remove {training} and train again."
        )
    return {"recipe": known}


def _source(network: nn.Module, blueprint: Blueprint, weights: str, *warnings: str) -> Source:
    has_no_statistics = any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None
        for module in network.modules()
    )
    if has_no_statistics:
        warnings += (
            "its batch normalisation uses the statistics of each batch: what it predicts of an "
            "image depends on the others in the batch.",
        )
    return Source(network.eval().requires_grad_(False), blueprint, weights, warnings)


def example_images(blueprint: Blueprint, batch: int, *, seed: int = 0) -> torch.Tensor:
    """Return `batch x channels x height x width`-dim random images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *blueprint.input_shape, generator=generator)
