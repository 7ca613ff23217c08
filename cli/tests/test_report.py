"""What a search shows when it is done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from balenas_cli.shell import console as _console
from balenas_cli.tables.result import print_report
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.result import SearchResult
from balenas_core.interfaces.selection import Candidate, Selection
from balenas_core.testing import ToyArchitecture


@pytest.fixture
def screen(monkeypatch, capsys):
    """A terminal of 60 columns; ``screen()`` is the lines on it."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich, that there is a terminal
    _console.stdout.cache_clear()
    yield lambda: re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    _console.stdout.cache_clear()


def result(architectures: list[ToyArchitecture], scores: list[float]) -> SearchResult:
    candidates = tuple(
        Candidate(architecture, rank, {"synflow": score}, rank == 2, rank - 1)
        for rank, (architecture, score) in enumerate(
            zip(architectures, scores, strict=True), start=1
        )
    )
    return SearchResult(
        selection=Selection(candidates),
        validation_accuracy=91.25,
        benchmark=(BenchmarkEntry("cifar10", "test accuracy", 93.5, 94.37, 123, 15625),),
        metrics=(),
        seconds={"search": 12.34, "selection": 0.5},
        run=Path("runs/one"),
    )


LONG = ToyArchitecture(("conv" * 30, "skip" * 30))


def test_a_long_architecture_is_cut_in_the_table_and_whole_below_the_cell(screen):
    print_report(result([LONG, ToyArchitecture(("conv", "skip"))], [1.5, -2.0]))
    lines = screen()
    assert lines[lines.index(str(LONG)) + 1] == ""
    start = next(i for i, line in enumerate(lines) if line.startswith("rank"))
    first, second = lines[start + 1 : start + 3]
    assert first.split()[:3] == ["1", "1.5", "0"]
    assert first.split()[-1].startswith("convconv")
    assert first.rstrip().endswith("…")
    assert len(first) <= 60
    assert second.split() == ["2", "-2", "1", "argmax", "conv-skip"]


def test_the_benchmark_shows_rank_and_regret(screen):
    print_report(result([ToyArchitecture(("conv", "skip"))] * 2, [1.0, 0.0]))
    lines = [" ".join(line.split()) for line in screen()]
    assert "cifar10 test accuracy 93.50 94.37 0.87 123 of 15,625" in lines
    assert "time search 12.3 s, selection 0.5 s" in lines
    assert "run runs/one" in lines


def test_only_the_ten_best_candidates_are_shown(screen):
    print_report(result([ToyArchitecture(("conv", "skip"))] * 14, [*map(float, range(14))]))
    lines = [line.strip() for line in screen()]
    assert "candidates, best 10 of 14" in lines
    assert sum(line.endswith("conv-skip") for line in lines) == 11


def test_a_single_candidate_needs_no_table(screen):
    print_report(result([ToyArchitecture(("conv", "skip"))], [1.0]))
    assert not any("candidates" in line for line in screen())


def test_candidates_are_cut_in_a_pipe_too(capsys, monkeypatch):
    monkeypatch.setattr("balenas_cli.tables.result.cut_width", lambda: 90)
    _console.stdout.cache_clear()
    print_report(result([LONG, ToyArchitecture(("conv", "skip"))], [1.5, -2.0]))
    _console.stdout.cache_clear()
    lines = capsys.readouterr().out.splitlines()
    assert str(LONG) in lines, "the choice itself can be copied"
    (row,) = [line for line in lines if line.endswith("…")]
    assert len(row) <= 90


def test_the_width_is_that_of_columns_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert _console.cut_width() == 77
    monkeypatch.setenv("COLUMNS", "wide")
    assert _console.cut_width() == 120
