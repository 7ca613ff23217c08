"""All presets on NAS-Bench-201 with real CIFAR-10 images, in one table.

    python benchmarks/nb201_methods.py --quick
    python benchmarks/nb201_methods.py --presets darts balenas --seeds 0 1 2 --output FOLDER
    python benchmarks/nb201_methods.py --table-only

Every preset searches with a small supernet on one thread; what it chooses is looked up in the
benchmark (200 epochs, C=16, N=5). One JSON file per finished run lands in the output folder,
and finished runs are not repeated, so an interrupted benchmark goes on where it was. The table
is printed as Markdown on stdout.

A search here makes far fewer steps than the papers' 50 epochs of 25,000 images, so the step
size of the architecture is multiplied by ``arch_lr_factor``, for every method alike. ``balenas``
and ``balenas-tf`` differ in the last choice only: they share one search per seed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balenas_core import Search, SearchConfig, SearchResult, load_config
from balenas_core.interfaces.events import EpochEnded, Event
from balenas_core.plugins.registry import default_registry

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10_12k.npz"
PRESETS = (
    "darts",
    "balenas-tf",
    "balenas",
    "random",
    "drnas",
    "gdas",
    "sdarts-rs",
    "evolution",
    "snas",
    "pc-darts",
    "darts-2nd",
    "uniform+naswot",
)
CONTROLS: Mapping[str, Mapping[str, Any]] = {
    # What balenas-tf would choose had it learned nothing: naswot's best of uniform draws.
    "uniform+naswot": {
        "distribution": {"name": "gumbel_softmax", "initial_scale": 0.0},
        "optimizer": {"name": "random"},
        "selector": {"name": "naswot", "draws": 0},
        "training": {"epochs": 1},
    }
}
LOOK_UPS = 100
LOOK_UP_SEEDS = 20
DATASETS = ("cifar10", "cifar100", "imagenet16-120")


@dataclass(frozen=True)
class Setting:
    """Size of a search; a result file states it, and results of two are never mixed."""

    name: str
    image_side: int
    channels: int
    cells_per_stage: int
    epochs: int
    batch_size: int
    arch_lr_factor: float
    draws: int
    evaluations: int


STANDARD = Setting("standard", 32, 8, 1, 10, 64, 10.0, 64, 50)
QUICK = Setting("quick", 16, 8, 1, 8, 64, 10.0, 64, 20)


def data_file(setting: Setting, output: Path) -> Path:
    """Return the images at the setting's size, made by averaging blocks of pixels."""
    if setting.image_side == 32:
        return DATA
    path = output / f"cifar10_{setting.image_side}.npz"
    if not path.exists():
        block = 32 // setting.image_side
        with np.load(DATA, allow_pickle=False) as arrays:
            small = {name: arrays[name] for name in ("y_train", "y_test")}
            small |= {name: _pooled(arrays[name], block) for name in ("x_train", "x_test")}
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, **small)
        os.replace(temporary, path)
    return path


def _pooled(images: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // block, block, width // block, block, channels)
    pooled: NDArray[np.uint8] = blocks.mean(axis=(2, 4)).round().astype(np.uint8)
    return pooled


def configure(preset: str, seed: int, setting: Setting, data: Path) -> SearchConfig:
    """Return the preset's configuration at the size of the setting."""
    settings: Mapping[str, Any] = (
        CONTROLS.get(preset) or default_registry().find("preset", preset).load_implementation()
    )
    flags: dict[str, Any] = {
        "space": "nb201",
        "space.channels": setting.channels,
        "space.cells_per_stage": setting.cells_per_stage,
        "data": "npz",
        "data.path": str(data),
        "training.epochs": setting.epochs,
        "training.batch_size": setting.batch_size,
        "training.warmup_epochs": _scaled_warmup(settings["training"], setting),
        "seed": seed,
        "threads": 1,
        "device": "cpu",
    }
    if "lr" in settings["optimizer"]:
        flags["optimizer.lr"] = settings["optimizer"]["lr"] * setting.arch_lr_factor
    for option in ("draws", "evaluations"):
        if option in settings["selector"]:
            flags[f"selector.{option}"] = getattr(setting, option)
    return load_config(base=settings, flags=flags, base_name=f"preset {preset}")


def _scaled_warmup(training: Mapping[str, Any], setting: Setting) -> int:
    """Return the preset's share of epochs that train weights only."""
    share: float = training.get("warmup_epochs", 0) / training["epochs"]
    return round(setting.epochs * share)


def run(preset: str, seed: int, setting: Setting, output: Path) -> None:
    """Search once and write the result."""
    config = configure(preset, seed, setting, data_file(setting, output))
    started = time.process_time()

    def report(event: Event) -> None:
        if isinstance(event, EpochEnded):
            spent = time.process_time() - started
            print(f"{preset} {seed}: epoch {event.epoch}, {spent:.0f} CPU s", file=sys.stderr)

    result = Search(config, listeners=[report]).run()
    seconds = time.process_time() - started
    _write(output, setting, preset, seed, result, str(result.architecture), seconds)
    if preset == "balenas-tf":
        argmax = next(c for c in result.selection.candidates if c.is_argmax)
        share = result.seconds["search"] / sum(result.seconds.values())
        _write(output, setting, "balenas", seed, result, str(argmax.architecture), share * seconds)


def _write(
    output: Path,
    setting: Setting,
    preset: str,
    seed: int,
    result: SearchResult,
    architecture: str,
    seconds: float,
) -> None:
    record = {
        "preset": preset,
        "seed": seed,
        "setting": asdict(setting),
        "architecture": architecture,
        "weights_entropy": [m["weights_entropy"] for m in result.metrics],
        "supernet_accuracy": result.metrics[-1]["validation_accuracy"] if result.metrics else None,
        "argmax_by_epoch": [m["architecture"] for m in result.metrics],
        "cpu_seconds": seconds,
    }
    path = result_file(output, setting, preset, seed)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(temporary, path)


def look_ups(output: Path) -> str:
    """Return a table of searches over the benchmark itself, which train nothing."""
    path = output / "look_ups.json"
    if not path.exists():
        regrets = {
            selector: [_look_up_regret(selector, seed) for seed in range(LOOK_UP_SEEDS)]
            for selector in ("random_search", "evolution")
        }
        path.write_text(json.dumps(regrets) + "\n")
    rows = [
        f"| {selector} | {statistics.mean(r):.3f} ± {statistics.stdev(r):.3f} "
        f"| {statistics.median(r):.3f} | {sum(x == 0 for x in r)} of {len(r)} |"
        for selector, r in json.loads(path.read_text()).items()
    ]
    return "\n".join(
        [
            f"| {LOOK_UPS} look-ups | mean regret (CIFAR-10) | median | found the best |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _look_up_regret(selector: str, seed: int) -> float:
    config = SearchConfig.model_validate(
        {
            "space": "nb201",
            "optimizer": "random",
            "selector": {"name": selector, "evaluations": LOOK_UPS, "evaluate": "benchmark"},
            "seed": seed,
            "threads": 1,
            "device": "cpu",
        }
    )
    return Search(config).run().benchmark[0].regret


def result_file(output: Path, setting: Setting, preset: str, seed: int) -> Path:
    """Return where a run's result lies."""
    return output / f"{setting.name}-{preset}-{seed}.json"


def table(output: Path, setting: Setting, presets: Iterable[str]) -> str:
    """Return all finished runs of a setting as a Markdown table."""
    space = default_registry().find("space", "nb201").build()
    benchmark = space.benchmark()
    lines = [
        "| method | runs | CIFAR-10 | regret | median rank | CIFAR-100 | ImageNet16-120 "
        "| entropy of weights | supernet accuracy | CPU s a run |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for preset in presets:
        paths = sorted(output.glob(f"{setting.name}-{preset}-[0-9]*.json"))
        records = [json.loads(path.read_text()) for path in paths]
        # "darts-[0-9]*" also matches the files of "darts-2nd".
        records = [r for r in records if r["preset"] == preset and r["setting"] == asdict(setting)]
        if not records:
            continue
        entries = {
            dataset: [benchmark.query(space.parse(r["architecture"]), dataset) for r in records]
            for dataset in DATASETS
        }
        regrets = [entry.regret for entry in entries["cifar10"]]
        ranks = [entry.rank for entry in entries["cifar10"]]
        cells = [
            preset,
            str(len(records)),
            _mean([e.value for e in entries["cifar10"]]),
            f"{statistics.mean(regrets):.2f}",
            f"{statistics.median(ranks):.0f}",
            *(_mean([e.value for e in entries[dataset]]) for dataset in DATASETS[1:]),
            *_of_supernet(records),
            f"{statistics.mean(r['cpu_seconds'] for r in records):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    values = [benchmark.values(dataset, benchmark.metrics[0]) for dataset in DATASETS]
    uniform = [f"{v.mean():.2f} ± {v.std():.2f}" for v in values]
    regret = values[0].max() - values[0].mean()
    lines.append(
        f"| one uniform draw (exact) | | {uniform[0]} | {regret:.2f} | {values[0].size // 2} "
        f"| {uniform[1]} | {uniform[2]} | 1.609 | | 0 |"
    )
    lines.append(
        f"| best in the benchmark | | {values[0].max():.2f} | 0 | 1 | {values[1].max():.2f} "
        f"| {values[2].max():.2f} | | | |"
    )
    return "\n".join(lines)


def _of_supernet(records: list[dict[str, Any]]) -> tuple[str, str]:
    if records[0]["supernet_accuracy"] is None:
        return f"{math.log(5):.3f}", ""
    return (
        f"{statistics.mean(r['weights_entropy'][-1] for r in records):.3f}",
        f"{statistics.mean(r['supernet_accuracy'] for r in records):.1f}",
    )


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def describe(setting: Setting) -> str:
    """Return the setting in words."""
    return (
        f"Setting `{setting.name}`: CIFAR-10, 5,000 training and 5,000 validation images of "
        f"{setting.image_side}x{setting.image_side} pixels, supernet C={setting.channels}, "
        f"N={setting.cells_per_stage}, {setting.epochs} epochs of batch {setting.batch_size}, "
        f"architecture step size {setting.arch_lr_factor:g} times the preset's, "
        f"{setting.draws} draws for proxies, {setting.evaluations} evaluations for random search "
        f"and evolution; 1 thread, {platform.machine()}. Accuracies are the benchmark's "
        f"validation accuracies in percent, mean ± standard deviation over seeds."
    )


def main() -> int:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="16x16 images, fewer epochs")
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="instead of the setting's own")
    parser.add_argument("--output", type=Path, default=Path("runs/nb201_methods"))
    parser.add_argument("--table-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else STANDARD
    if arguments.epochs is not None:
        setting = replace(
            setting, name=f"{setting.name}{arguments.epochs}", epochs=arguments.epochs
        )
    if not DATA.exists():
        print(f"skipped: {DATA} is not there (real CIFAR-10 images)", file=sys.stderr)
        return 0
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not arguments.table_only:
        for seed in arguments.seeds:
            for preset in arguments.presets:
                if not result_file(arguments.output, setting, preset, seed).exists():
                    run(preset, seed, setting, arguments.output)
    print(table(arguments.output, setting, PRESETS))
    print(f"\n{describe(setting)}\n")
    print(look_ups(arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
