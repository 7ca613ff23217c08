"""What a search returns and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from balenas_core.drawing import facts_html, table_html
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.selection import Selection


@dataclass(frozen=True, slots=True)
class Check:
    """The choice after a short training of its own, and a uniform draw after the same.

    Args:
        epochs: Passes over the training half.
        accuracy: Of the choice, in percent, on the validation half.
        control: The uniform draw.
        control_accuracy: Its accuracy.
    """

    epochs: int
    accuracy: float
    control: Architecture
    control_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "epochs": self.epochs,
            "accuracy": self.accuracy,
            "control": str(self.control),
            "control_accuracy": self.control_accuracy,
        }


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """The outcome of a search.

    Args:
        selection: The ranked candidates.
        validation_accuracy: Accuracy in percent, on the validation half, of the chosen
            architecture with the weights it inherits from the supernet; None if no supernet
            was trained.
        benchmark: Real accuracies of the choice, where the space has a benchmark.
        metrics: The record of every epoch.
        seconds: Wall-clock time by phase.
        run: Directory of the run; None if nothing was written.
        check: The choice trained alone for a few epochs, beside a uniform draw; None where it
            was not asked for.
    """

    selection: Selection
    validation_accuracy: float | None
    benchmark: tuple[BenchmarkEntry, ...]
    metrics: Sequence[Mapping[str, Any]]
    seconds: Mapping[str, float]
    run: Path | None
    check: Check | None = None

    @property
    def architecture(self) -> Architecture:
        """The chosen architecture."""
        return self.selection.chosen.architecture

    def __repr__(self) -> str:
        """Name what was found; all metrics and candidates would fill the screen."""
        return (
            f"SearchResult(architecture={str(self.architecture)!r}, "
            f"validation_accuracy={self.validation_accuracy}, run={self.run})"
        )

    def _repr_html_(self) -> str:
        """Show the choice, its benchmark entries and the best candidates in a notebook."""
        facts = [f"{phase} {seconds:.1f} s" for phase, seconds in self.seconds.items()]
        if self.validation_accuracy is not None:
            facts.insert(0, f"inherited validation accuracy {self.validation_accuracy:.2f} %")
        if self.check is not None:
            facts.insert(
                0,
                f"accuracy after {self.check.epochs} epochs alone "
                f"{self.check.accuracy:.2f} %, of a uniform draw "
                f"{self.check.control_accuracy:.2f} %",
            )
        if self.run is not None:
            facts.append(f"run {self.run}")
        parts = [facts_html(facts), self.selection._repr_html_()]
        if self.benchmark:
            rows = [
                (e.dataset, e.metric, e.value, e.best, e.regret, e.rank, e.total)
                for e in self.benchmark
            ]
            columns = ("dataset", "metric", "value", "best", "regret", "rank", "of")
            parts.append(table_html("Benchmark", columns, rows))
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, as in ``result.json``."""
        return {
            "architecture": str(self.architecture),
            "cells": [asdict(cell) for cell in self.architecture.cells()],
            "validation_accuracy": self.validation_accuracy,
            "check": None if self.check is None else self.check.to_dict(),
            "benchmark": [{**asdict(e), "regret": e.regret} for e in self.benchmark],
            "candidates": [
                {
                    "rank": candidate.rank,
                    "architecture": str(candidate.architecture),
                    "scores": dict(candidate.scores),
                    "is_argmax": candidate.is_argmax,
                    "draws": candidate.draws,
                    "costs": dict(candidate.costs),
                    **({"failure": candidate.failure} if candidate.failure is not None else {}),
                }
                for candidate in self.selection.candidates
            ],
            "kept": [str(candidate.architecture) for candidate in self.selection.kept],
            "stages": [
                {
                    "name": stage.name,
                    "candidates": stage.candidates,
                    "survivors": [str(architecture) for architecture in stage.survivors],
                    "epochs": stage.epochs,
                    "seconds": stage.seconds,
                }
                for stage in self.selection.stages
            ],
            "pareto": {
                cost: [str(candidate.architecture) for candidate in front]
                for cost, front in self.selection.pareto.items()
            },
            "epochs": len(self.metrics),
            "final_metrics": dict(self.metrics[-1]) if self.metrics else None,
            "seconds": dict(self.seconds),
        }
