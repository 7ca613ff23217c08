"""Everything that needs a GPU, in one script of at most eight minutes.

    python benchmarks/gpu.py --output FOLDER             # on a machine with a GPU
    python benchmarks/gpu.py --output FOLDER --miniature # the same steps on any machine

Builds the CUDA operators of NGVI and tests them against the CPU's, times a cycle of NGVI beside
``torch.optim.Adam(fused=True)`` and the bandwidth of a copy, and searches ``nb201`` with C=16, N=5
and 32x32 images in bfloat16 (the networks are channels_last there) for three minutes. Every step
has a time of its own; one that fails or runs out of it is reported, and the others run. The
folder gets ``report.json`` and ``report.md``. Without a GPU the same steps run on the CPU: that
tests the script, and says nothing about a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optimizer import CASES, Shapes, parameters

from balenas_core import Search, SearchConfig
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import Event, StepEnded
from balenas_optimizer_ngvi import NGVI, native_status

NGVI_PROJECT = Path(__file__).resolve().parents[1] / "plugins" / "optimizers" / "ngvi"
_WARM_UP_STEPS = 20

Facts = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How long and how large; the full one fits into eight minutes."""

    build_seconds: int
    test_seconds: int
    rounds: int
    copy_megabytes: int
    search_seconds: int
    channels: int
    cells: int
    side: int


FULL = Setting(120, 90, 25, 1024, 180, 16, 5, 32)
MINIATURE = Setting(600, 600, 3, 8, 5, 4, 1, 8)


def device() -> torch.device:
    """Return the GPU; the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def environment() -> Facts:
    """Return what the figures were measured on."""
    facts: Facts = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": "cpu"}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 2**30, 1),
        }
    return facts


def build(setting: Setting, folder: Path) -> Facts:
    """Build the operators for this machine: in place on a GPU, else into the folder."""
    has_gpu = torch.cuda.is_available()
    variables = {"NGVI_BUILD": "cuda" if has_gpu else "cpu"}
    if has_gpu:
        variables["TORCH_CUDA_ARCH_LIST"] = environment()["capability"]
    made = folder.resolve() / "build"
    # Where other processes have the operators open, they must not change under them.
    place = ["--inplace"] if has_gpu else ["--build-lib", str(made)]
    return _command(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-temp", str(made), *place],
        setting.build_seconds,
        cwd=NGVI_PROJECT,
        variables=variables,
    )


def test(setting: Setting) -> Facts:
    """Run the operators' tests: on a GPU, every rule and size against the CPU's."""
    name = "test_ngvi_cuda.py" if torch.cuda.is_available() else "test_ngvi_native.py"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", f"tests/{name}"]
    return _command(command, setting.test_seconds, cwd=NGVI_PROJECT)


def _command(
    command: list[str], seconds: int, *, cwd: Path, variables: dict[str, str] | None = None
) -> Facts:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return {"ok": done.returncode == 0, "last": lines[-1] if lines else ""}


def optimizers(setting: Setting) -> Facts:
    """Time cycles of NGVI in terms of Adam(fused), both sides in every round."""
    return {"status": str(native_status()), **{c: _cycles(CASES[c], setting) for c in CASES}}


def _cycles(shapes: Shapes, setting: Setting) -> Facts:
    adam = torch.optim.Adam(_on_device(shapes), lr=1e-4, fused=True)
    runs: dict[str, Callable[[], object]] = {"Adam(fused)": adam.step}
    for variant in ("vadam", "ivon"):
        runs[f"NGVI {variant}"] = _ngvi_cycle(shapes, variant)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(setting.rounds + 3):
        for name, run in runs.items():
            seconds = _timed(run)
            if number >= 3:  # the first ones compile and allocate
                times[name].append(seconds)
    base = times["Adam(fused)"]
    return {
        name: {
            "microseconds": statistics.median(values) * 1e6,
            "to_adam": statistics.median(a / b for a, b in zip(values, base, strict=True)),
        }
        for name, values in times.items()
    }


def _on_device(shapes: Shapes) -> list[torch.nn.Parameter]:
    made = []
    for parameter in parameters(shapes):
        moved = torch.nn.Parameter(parameter.detach().to(device()))
        assert parameter.grad is not None, "they are made with gradients"
        moved.grad = parameter.grad.to(device())
        made.append(moved)
    return made


def _ngvi_cycle(shapes: Shapes, variant: str) -> Callable[[], object]:
    optimizer = NGVI(_on_device(shapes), 1e-4, ess=5e4, variant=variant, initial_sigma=0.01)

    def run() -> None:
        with optimizer.sampled_params():
            pass
        optimizer.step()

    return run


def _timed(run: Callable[[], object], inner: int = 10) -> float:
    """Return seconds per call, with the queue of the GPU empty before and after."""
    _wait()
    start = time.perf_counter()
    for _ in range(inner):
        run()
    _wait()
    return (time.perf_counter() - start) / inner


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def bandwidth(setting: Setting) -> Facts:
    """Return GB a second of a copy on the device: what an optimizer's step is bound by."""
    size = setting.copy_megabytes << 20
    source = torch.ones(size // 4, device=device())
    target = torch.empty_like(source)
    seconds = statistics.median(_timed(lambda: target.copy_(source)) for _ in range(setting.rounds))
    return {"copy_gb_a_second": 2 * size / seconds / 1e9}


def search(setting: Setting, folder: Path) -> Facts:
    """Search on random images for a given time; the pixels do not change what a step takes."""
    data = folder / "images.npz"
    pixels = np.random.default_rng(0)
    shape = (512, setting.side, setting.side, 3)
    parts = {p: pixels.integers(0, 256, shape, dtype=np.uint8) for p in ("x_train", "x_test")}
    labels = {name: np.arange(512) % 10 for name in ("y_train", "y_test")}
    np.savez(data, **parts, **labels)
    config = SearchConfig.model_validate(
        {
            "space": {
                "name": "nb201",
                "channels": setting.channels,
                "cells_per_stage": setting.cells,
            },
            "optimizer": "ngvi",
            "data": {"name": "npz", "path": str(data)},
            "training": {"epochs": 10_000, "batch_size": 64},
            "device": str(device()),
            "precision": "bfloat16",
        }
    )
    ended: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, StepEnded):
            ended.append(time.perf_counter())
            if ended[-1] - ended[0] > setting.search_seconds:
                running.request_stop()

    running = Search(config, listeners=[watch])
    with contextlib.suppress(SearchInterrupted):
        running.run()
    data.unlink()
    seconds = ended[-1] - ended[min(_WARM_UP_STEPS, len(ended) - 2)]
    steps = len(ended) - 1 - min(_WARM_UP_STEPS, len(ended) - 2)
    facts: Facts = {"steps": len(ended), "steps_a_second": steps / seconds}
    facts["images_a_second"] = 2 * 64 * facts["steps_a_second"]
    if torch.cuda.is_available():
        facts["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return facts


def report(folder: Path, facts: Facts) -> None:
    """Write the figures, after every step anew."""
    (folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n")
    lines = [f"# {facts['environment']['device']}, torch {facts['environment']['torch']}", ""]
    for step, found in facts.items():
        lines += [f"## {step}", "", "```json", json.dumps(found, indent=2), "```", ""]
    (folder / "report.md").write_text("\n".join(lines))


def main() -> None:
    """Run the steps, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--miniature", action="store_true")
    arguments = parser.parse_args()
    setting = MINIATURE if arguments.miniature else FULL
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    facts: Facts = {"environment": environment()}
    steps: dict[str, Callable[[], Facts]] = {
        "build": lambda: build(setting, folder),
        "test": lambda: test(setting),
        "optimizers": lambda: optimizers(setting),
        "bandwidth": lambda: bandwidth(setting),
        "search": lambda: search(setting, folder),
    }
    for name, step in steps.items():
        start = time.perf_counter()
        try:
            facts[name] = step()
        # What fails here is a finding; the time on the machine must serve the other steps too.
        except Exception as error:
            facts[name] = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        facts[name]["seconds"] = round(time.perf_counter() - start, 1)
        report(folder, facts)
        sys.stdout.write(f"{name}: {json.dumps(facts[name])}\n")


if __name__ == "__main__":
    main()
