"""Searches and selections, each with a folder that says what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from balenas_core import ArchitectureDistribution, Search, SearchConfig, default_registry
from balenas_core.interfaces.events import EpochEnded, Event, PriorFormed, SearchStarted

from .cpu_log import CpuLog
from .measures import Truth, measure
from .methods import Method, configure
from .settings import Setting, pooled_images

SEARCH = "arena-search.json"
SELECTION = "arena-selection-{}.json"
EPOCHS = "arena-epochs.jsonl"

_BEFORE = -1
"""Stands for the epoch of a prior, before the first."""


@dataclass(frozen=True)
class Run:
    """One search by one method with one seed.

    Args:
        label: What it is called; the method's name, or another for overrides.
        method: What searches.
        setting: Size.
        seed: Of everything.
        output: Folder of all runs.
        overrides: Settings over the method's.
    """

    label: str
    method: Method
    setting: Setting
    seed: int
    output: Path
    overrides: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Directory of the search."""
        return self.output / self.setting.name / f"{self.label}-{self.seed}"

    @property
    def images(self) -> Path:
        """File of the images."""
        return pooled_images(self.setting, self.output)

    def config(self, selection: str | None = None) -> SearchConfig:
        """Return the configuration, with one of the method's selections."""
        return configure(
            self.method,
            self.setting,
            seed=self.seed,
            images=self.images,
            output=self.folder,
            selection=selection,
            overrides=self.overrides,
        )

    @cached_property
    def space(self) -> Any:
        """The search space."""
        section = self.config().space
        return default_registry().find("space", section.name).build(section.options)

    @cached_property
    def truth(self) -> Truth:
        """Its real results."""
        return Truth.of(self.space.benchmark())

    def search(self) -> None:
        """Search, if that is not done, and write what came of it."""
        if (self.folder / SEARCH).exists():
            return
        config = self.config()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        cpu = CpuLog(self.folder.with_suffix(".cpu"))
        watcher = _Watcher(self, config, cpu)
        result = Search(config, listeners=[watcher]).run(resume="allow")
        cpu.tick(is_due=True)
        record = {
            "label": self.label,
            "seed": self.seed,
            "setting": self.setting.name,
            "epochs": watcher.records(),
            "argmax": str(result.architecture),
            "regret": self.truth.regrets(self.space.benchmark().index(result.architecture)),
            "inherited_accuracy": result.validation_accuracy,
            "supernet_accuracy": (
                result.metrics[-1]["validation_accuracy"] if result.metrics else None
            ),
            "cpu_seconds": cpu.seconds,
        }
        _write(self.folder / SEARCH, record)

    def select(self, name: str) -> None:
        """Choose by one of the method's selections, if that is not done."""
        path = self.folder / SELECTION.format(name)
        if path.exists():
            return
        config = self.config(name)
        cpu = CpuLog(self.folder / f"{name}.cpu")

        def listen(event: Event) -> None:
            del event
            cpu.tick()

        result = Search(config, listeners=[listen]).select(name)
        cpu.tick(is_due=True)
        index = self.space.benchmark().index
        record = {
            "label": self.label,
            "seed": self.seed,
            "selection": name,
            "architecture": str(result.architecture),
            "regret": self.truth.regrets(index(result.architecture)),
            "inherited_accuracy": result.validation_accuracy,
            "stages": [
                {
                    "name": stage.name,
                    "candidates": stage.candidates,
                    "epochs": stage.epochs,
                    "seconds": stage.seconds,
                    "first_regret": self.truth.regrets(index(stage.survivors[0])),
                    "best_regret": min(
                        next(iter(self.truth.regrets(index(a)).values())) for a in stage.survivors
                    ),
                }
                for stage in result.selection.stages
            ],
            "candidates": [
                {
                    "architecture": str(c.architecture),
                    "scores": dict(c.scores),
                    "regret": next(iter(self.truth.regrets(index(c.architecture)).values())),
                }
                for c in result.selection.candidates
            ],
            "cpu_seconds": cpu.seconds,
        }
        _write(path, record)


class _Watcher:
    """Measures the distribution after every epoch of a search."""

    def __init__(self, run: Run, config: SearchConfig, cpu: CpuLog) -> None:
        self._run = run
        self._config = config
        self._cpu = cpu

    def __call__(self, event: Event) -> None:
        self._cpu.tick()
        if isinstance(event, PriorFormed):
            self._measure(_BEFORE, self._informed())
        if isinstance(event, SearchStarted) and event.epochs_done:
            # A process that was killed may have left its last epoch unmeasured.
            self._measure(event.epochs_done - 1, self._learned())
        if isinstance(event, EpochEnded):
            self._measure(event.epoch, self._learned())

    def records(self) -> list[dict[str, Any]]:
        """Return what was measured, by epoch."""
        path = self._run.folder / EPOCHS
        lines = path.read_text().splitlines() if path.exists() else []
        by_epoch = {record["epoch"]: record for record in map(json.loads, lines)}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def _measure(self, epoch: int, distribution: ArchitectureDistribution) -> None:
        run, every = self._run, self._run.setting.measured_epochs
        if (epoch + 1) % every or any(r["epoch"] == epoch for r in self.records()):
            return
        begun = time.process_time()
        measured = measure(distribution, run.space, run.truth)
        self._cpu.leave_out(time.process_time() - begun)
        self._cpu.tick(is_due=True)
        record = {"epoch": epoch, "cpu_seconds": self._cpu.seconds, **measured}
        with (run.folder / EPOCHS).open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(
            f"{run.label} {run.seed}: epoch {epoch}, {self._cpu.seconds:.0f} CPU s, mean "
            f"{measured['mean_accuracy']:.2f}, best {measured['best_mass']:.3f}, "
            f"{measured['argmax']}",
            file=sys.stderr,
            flush=True,
        )

    def _informed(self) -> ArchitectureDistribution:
        """Return the distribution that begins at the prior which was formed."""
        prior = json.loads((self._run.folder / "prior.json").read_text())
        distribution = self._fresh()
        distribution.set_offset(
            {
                name: prior["scale"] * torch.tensor([list(row.values()) for row in table.values()])
                for name, table in prior["effects"].items()
            }
        )
        return distribution

    def _learned(self) -> ArchitectureDistribution:
        """Return the distribution of the newest checkpoint."""
        path = max((self._run.folder / "checkpoints").glob("*.pt"))
        state: Mapping[str, Any] = torch.load(path, weights_only=True)["loop"]["distribution"]
        distribution = self._fresh()
        distribution.load_state_dict(state)
        return distribution

    def _fresh(self) -> ArchitectureDistribution:
        section = self._config.distribution
        distribution: ArchitectureDistribution = (
            default_registry()
            .find("distribution", section.name)
            .build(
                section.options,
                decisions=self._run.space.decisions,
                generator=torch.Generator().manual_seed(0),
            )
        )
        return distribution


def _write(path: Path, record: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(temporary, path)
