"""Whether data keeps up: images a second of each data set, against what a step needs.

    python benchmarks/data.py [--batches 64 256 1024] [--seconds 3] [--cifar ROOT]
    python benchmarks/data.py --folder 100000   # how long a folder of so many images takes to start

Images a second of the augmented training part, loaded by this process with one thread, median of
three; of image_folder with its decoded images kept (data.cache) and without. "step" is what the
supernet of NAS-Bench-201 with 16 channels and one cell a stage takes in from both parts: what
loads fewer holds it up. A GPU takes in more, and then training.workers, data.cache and
training.augment_on_device are there for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from balenas_core import SearchConfig
from balenas_core.data import BatchLoader, training_part
from balenas_core.engine.estimating import estimate
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.plugins.registry import default_registry

_COUNT = 2048


def datasets(folder: Path, cifar: Path | None) -> Iterator[tuple[str, ImageDataset]]:
    """Yield every data set that can be had here."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (_COUNT, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(_COUNT) % 10
    np.savez(folder / "a.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    _write(folder / "jpeg", 256, side=160)
    yield "digits 8x8", _built("digits")
    yield "npz 32x32", _built("npz", path=folder / "a.npz")
    if cifar is not None:
        yield "cifar10 32x32", _built("cifar10", root=cifar)
    yield "image_folder 160 to 64", _built("image_folder", root=folder / "jpeg")
    yield "image_folder, cache", _built("image_folder", root=folder / "jpeg", cache=True)


def _built(name: str, **options: Any) -> ImageDataset:
    reference = default_registry().find("dataset", name)
    model = reference.load().options
    assert model is not None
    made: ImageDataset = reference.build(model(**options))
    return made


def _write(root: Path, count: int, *, side: int) -> None:
    """Write JPEG files of smooth noise, of two classes."""
    random = np.random.default_rng(1)
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
    for number in range(count):
        small = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        image.save(root / "ab"[number % 2] / f"{number:06}.jpg", quality=90)


def rate(dataset: ImageDataset, batch: int, seconds: float) -> float:
    """Return the images that are loaded in a second."""
    part = training_part(dataset)
    size = min(batch, len(part))
    rates = []
    with BatchLoader(part, batch_size=size, seed=0) as loader:
        batches = loader.endless()
        for _ in range(max(1, len(part) // size)):  # the first time fills caches
            next(batches)
        for _ in range(3):
            start, images = time.perf_counter(), 0
            while time.perf_counter() - start < seconds / 3:
                images += len(next(batches).labels)
            rates.append(images / (time.perf_counter() - start))
    return statistics.median(rates)


def needed(folder: Path, batch: int) -> float:
    """Return the images that a step takes in in a second, of both parts."""
    config = SearchConfig(
        space={"name": "nb201", "channels": 16, "cells_per_stage": 1},
        optimizer="ngvi",
        selector="argmax",
        data={"name": "npz", "path": folder / "a.npz"},
        training={"epochs": 1, "batch_size": batch},
        check_epochs=0,
        threads=1,
    )
    return 2 * batch / estimate(config, steps=2).step_seconds


def start_of_folder(count: int) -> None:
    """Print how long a folder takes to start, the first time and after that."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "images"
        _write(root, 10, side=64)
        sources = sorted(root.glob("*/*"))  # a file system allows each so many links
        for number in range(count):
            os.link(
                sources[number % len(sources)], root / "ab"[number % 2] / f"link{number:07}.jpg"
            )
        os.environ["BALENAS_CACHE"] = str(Path(made) / "cache")
        for label in ("first", "second"):
            start = time.perf_counter()
            _built("image_folder", root=root)
            print(f"{count} images, {label} start: {time.perf_counter() - start:.2f} s", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cifar", type=Path, help="root of CIFAR-10, if there is one")
    parser.add_argument("--folder", type=int, metavar="N", help="measure the start of a folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.folder:
        start_of_folder(given.folder)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["BALENAS_CACHE"] = str(folder / "cache")
        print("images a second", *(f"batch {batch:>5}" for batch in given.batches), sep="  ")
        for name, dataset in datasets(folder, given.cifar):
            rates = (rate(dataset, batch, given.seconds) for batch in given.batches)
            print(f"{name:24}", *(f"{found:11,.0f}" for found in rates), sep="  ", flush=True)
        step = (needed(folder, batch) for batch in given.batches)
        print(f"{'step of nb201':24}", *(f"{found:11,.0f}" for found in step), sep="  ")


if __name__ == "__main__":
    main()
