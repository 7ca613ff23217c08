"""From the arguments of ``balenas score`` to architectures and a job."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch.nn.functional import avg_pool2d

from balenas_cli.plans.data_place import place_option
from balenas_cli.plans.workers import worker_flags
from balenas_cli.shell.typed import as_typed
from balenas_core.config import DEFAULT_EXECUTOR, DocumentError, PluginSection, parse_yaml
from balenas_core.data import BatchLoader, ImagePart
from balenas_core.engine.device import find_device
from balenas_core.errors import ArchitectureError, ConfigError, UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.executor import Executor
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.plugins.registry import default_registry
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.random import derive_seed, generator
from balenas_core.scores import Init, ScoringJob
from balenas_core.scores.formula import formula_batch
from balenas_core.scores.room import check_room

FORMULA = "formula"

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_SHAPE, _CLASSES = "3x32x32", 10
_MOST = 2_000_000
"""Architectures that fit into memory: the largest space that has been tabulated has 1,312,200."""
_LONGEST_LINE = 20_000
_TRIES = 100
"""Draws for each architecture wanted, before the space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to score, how and where, and a text that names all that the scores depend on."""

    job: ScoringJob
    executor: Executor
    architectures: list[Architecture]
    dedupe: bool
    settings: str


def plan(
    texts: Sequence[str],
    *,
    space: str | None,
    proxies: str | None,
    random: int | None,
    file: Path | None,
    every: bool,
    dedupe: bool | None,
    init: str,
    seed: int,
    data: str | None,
    data_root: str | None,
    batch_size: int,
    batches: int | None,
    shrink: int,
    input_shape: str | None,
    classes: int | None,
    dtype: str | None,
    device: str,
    together: int,
    executor: str | None,
    jobs: int | None,
    settings: Sequence[str],
) -> Plan:
    """Build space, proxies, images and the list of architectures.

    Raises:
        UsageError: Something is missing or cannot be read; the message says what to type.
        TooLargeError: Networks of this size do not fit into memory.
        PluginLoadError: A plugin cannot be loaded.
    """
    way = _init(init)
    names = _names(proxies)
    if not space:
        raise UsageError(f"name the search space with --space. {_installed('space')}")
    options = _sorted_settings(settings, names)
    with as_typed({"space": "--space"}):
        section = PluginSection.resolve("space", {"name": space, **options["space"]})
    built = _build("space", section)
    sections = {
        name: PluginSection.resolve("proxy", {"name": name, **options[name]}) for name in names
    }
    where = _executor(executor, jobs, options["executor"])
    kind, place = _dtype(dtype, way), find_device(device)
    source = _source(data, way)
    of_formula = {"--input": input_shape, "--classes": classes, "--batches": batches}
    _refuse_ignored(source, of_formula, data_root, shrink)
    batch, task, facts = (
        _formula_images(
            batch_size, batches or 1, _shape(input_shape or _SHAPE), classes or _CLASSES
        )
        if source == FORMULA
        else _dataset_images(source, data_root, options["data"], batch_size, shrink, seed)
    )
    chosen = _unique(
        [
            *_given(built, texts),
            *(_from_file(built, file) if file is not None else ()),
            *(_all(built, section.name) if every else ()),
            *(_random(built, random, seed) if random is not None else ()),
        ]
    )
    if not chosen:
        raise UsageError("nothing to score; give architectures, --random N, --file FILE or --all.")
    found: dict[str, Proxy] = {name: _build("proxy", s) for name, s in sections.items()}
    has_gradients = way != "supernet" and any(proxy.needs_gradients for proxy in found.values())
    check_room(
        built,
        task,
        architecture=None if way == "supernet" else chosen[0],
        images=len(batch.images) if has_gradients else 0,
        device=place,
    )
    is_deduped = (every or random is not None) and way != "formula" if dedupe is None else dedupe
    placed = Batch(batch.images.to(place, kind), batch.labels.to(place))
    job = ScoringJob(built, task, found, placed, way, seed, kind, together)
    text = _fingerprint(
        {
            "space": section.model_dump(mode="json"),
            "proxies": [s.model_dump(mode="json") for s in sections.values()],
            "images": facts,
            "batch_size": batch_size,
            "init": init,
            "seed": seed,
            "dtype": str(kind),
            "dedupe": is_deduped,
        }
    )
    return Plan(job, where, chosen, is_deduped, text)


def _init(name: str) -> Init:
    for way in get_args(Init):
        if name == way:
            chosen: Init = way
            return chosen
    raise UsageError(f"--init must be {', '.join(get_args(Init))}; got {name!r}.")


def _names(proxies: str | None) -> list[str]:
    names = [name.strip() for name in (proxies or "").split(",")]
    if not all(names):
        raise UsageError(
            f"name the proxies with --proxy, such as --proxy synflow,naswot. {_installed('proxy')}"
        )
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"--proxy names {repeated!r} twice (got {proxies!r}).")
    return [default_registry().find("proxy", name).name if ":" not in name else name
            for name in names]  # fmt: skip


def _installed(kind: str) -> str:
    names = default_registry().names(kind)
    return f"Installed: {', '.join(names) or 'none'}."


def _sorted_settings(settings: Sequence[str], proxies: Sequence[str]) -> dict[str, dict[str, Any]]:
    owners = ("space", "data", "executor", *proxies)
    sorted_: dict[str, dict[str, Any]] = {owner: {} for owner in owners}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        owner, dot, option = key.partition(".")
        if not dot:
            owner, option = "space", key
        for name in sorted_:  # a long name of a proxy may have dots itself
            if key.startswith(f"{name}."):
                owner, option = name, key.removeprefix(f"{name}.")
        *above, last = option.split(".")
        if not equals or not last:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, such as space.channels=16.")
        if owner not in sorted_:
            raise ConfigError(
                f"--set {setting}: nothing called {owner!r} here.{did_you_mean(owner, sorted_)} "
                f"Known: {', '.join(sorted_)}."
            )
        try:
            value = parse_yaml(text).data
        except DocumentError as error:
            raise ConfigError(f"--set {setting}: {error.message}.") from error
        target = sorted_[owner]
        for part in above:  # such as data.arrays.x_train
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {setting}: {part!r} is set to {target!r} before.")
        target[last] = value
    return sorted_


def _executor(flag: str | None, jobs: int | None, options: Mapping[str, Any]) -> Executor:
    flags = worker_flags(flag, flag, jobs)
    workers = {} if "executor.workers" not in flags else {"workers": flags["executor.workers"]}
    given = {"name": flags["executor"] or DEFAULT_EXECUTOR, **workers, **options}
    with as_typed({"executor": "--executor"}):
        section = PluginSection.resolve("executor", given)
    built: Executor = _build("executor", section)
    built.check()
    return built


def _build(kind: str, section: PluginSection) -> Any:
    return default_registry().find(kind, section.name).build(section.options)


def _dtype(name: str | None, init: Init) -> torch.dtype:
    name = name or ("float64" if init == "formula" else "float32")
    if name not in _DTYPES:
        raise UsageError(f"--dtype must be float32 or float64; got {name!r}.")
    return _DTYPES[name]


def _source(data: str | None, init: Init) -> str:
    return data or (FORMULA if init == "formula" else "digits")


def _refuse_ignored(
    source: str, of_formula: Mapping[str, Any], root: str | None, shrink: int
) -> None:
    if source == FORMULA:
        if root is not None:
            raise UsageError("--data-root: images by formula are in no file; leave it out.")
        if shrink > 1:
            raise UsageError("--shrink: images by formula take any size; set it with --input.")
        return
    for flag, value in of_formula.items():
        if value is not None:
            raise UsageError(
                f"{flag} is for images by formula, and those of {source!r} have their own; leave "
                f"it out, or add --data {FORMULA}."
            )


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise UsageError(f"--input must be CxHxW, such as 3x32x32; got {text!r}.")
    return int(match[1]), int(match[2]), int(match[3])


_Images = tuple[Batch, Task, dict[str, Any]]


def _formula_images(
    batch_size: int, batches: int, shape: tuple[int, int, int], classes: int
) -> _Images:
    facts = {"name": FORMULA, "shape": list(shape), "classes": classes, "batches": batches}
    parts = [formula_batch(batch_size, shape, classes, index=k) for k in range(batches)]
    images, labels = (torch.cat([getattr(b, n) for b in parts]) for n in ("images", "labels"))
    return Batch(images, labels), Task(shape, classes), facts


def _dataset_images(
    name: str,
    root: str | None,
    options: Mapping[str, Any],
    batch_size: int,
    shrink: int,
    seed: int,
) -> _Images:
    given = {"name": name, **options, **({} if root is None else {place_option(name): root})}
    with as_typed({"dataset": "--data"}):
        section = PluginSection.resolve("dataset", given)
    dataset: ImageDataset = _build("dataset", section)
    if len(dataset.train) < batch_size:
        raise UsageError(
            f"--batch-size {batch_size}: {section.name} has {len(dataset.train)} images only."
        )
    import numpy as np

    part = ImagePart(dataset.name, dataset.train, np.arange(len(dataset.train)), dataset.normalize)
    with BatchLoader(part, batch_size=batch_size, seed=derive_seed(seed, "batch")) as loader:
        batch = next(loader.iterate(0))
    # Where a dataset lies does not change its images.
    facts = {k: v for k, v in section.model_dump(mode="json").items() if k != "root"}
    if "path" in facts:
        facts["path"] = Path(facts["path"]).name
    channels, height, width = dataset.input_shape
    if height < shrink or width < shrink:
        raise UsageError(f"--shrink {shrink} leaves nothing of {height}x{width} pixels.")
    if shrink > 1:
        facts["shrink"] = shrink
        batch = Batch(avg_pool2d(batch.images, shrink), batch.labels)
    shape = channels, height // shrink, width // shrink
    return batch, Task(shape, dataset.num_classes), facts


def _given(space: AnySpace, texts: Sequence[str]) -> Iterator[Architecture]:
    for text in texts:
        yield space.parse(text)


def _from_file(space: AnySpace, path: Path) -> Iterator[Architecture]:
    for number, line in enumerate(_lines(path), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            try:
                yield space.parse(stripped)
            except ArchitectureError as error:
                raise ArchitectureError(f"{path}:{number}: {error}") from error


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, or of stdin for ``-``, no more than memory holds.

    Raises:
        UsageError: It cannot be read, or has longer or more lines than a list of architectures.
    """
    is_stdin = str(path) == "-"
    try:
        with (
            contextlib.nullcontext(sys.stdin) if is_stdin else path.open(encoding="utf-8-sig")
        ) as file:
            # A device such as /dev/zero has no end, nor an end of a line.
            for number in itertools.count(1):
                line = file.readline(_LONGEST_LINE + 1)
                if not line:
                    return
                if len(line) > _LONGEST_LINE or "\0" in line:
                    raise UsageError(
                        f"--file {path}, line {number}: that is no architecture; give a text file "
                        f"with one in each line."
                    )
                if number > _MOST:
                    raise UsageError(f"--file {path} has more than {_MOST:,} lines; split it.")
                yield line
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"cannot read --file {path}: {reason}.") from error


def _all(space: AnySpace, name: str) -> Iterator[Architecture]:
    size, found = space.size(), space.architectures()
    if found is None or (size is not None and size > _MOST):
        count = "an unknown number of" if size is None else f"{size:,}"
        raise UsageError(
            f"--all: space {name!r} has {count} architectures; take a part with --random N."
        )
    return found


def _random(space: AnySpace, count: int, seed: int) -> Iterator[Architecture]:
    source = generator(seed, "random")
    seen: set[str] = set()
    for _ in range(_TRIES * count):
        if len(seen) == count:
            return
        architecture = space.random(source)
        if str(architecture) not in seen:
            seen.add(str(architecture))
            yield architecture
    if len(seen) < count:
        raise UsageError(
            f"--random {count}: found only {len(seen)} different architectures in "
            f"{_TRIES * count} draws; ask for at most {len(seen)}."
        )


def _unique(architectures: Sequence[Architecture]) -> list[Architecture]:
    return list({str(architecture): architecture for architecture in architectures}.values())


def _fingerprint(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
