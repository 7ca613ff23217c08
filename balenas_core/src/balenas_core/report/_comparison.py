"""Several runs side by side, and what is known over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from balenas_core.config.flat import differences
from balenas_core.report._benchmark_section import histograms
from balenas_core.report._charts import seeds_chart
from balenas_core.report._groups import Group, mean_interval, seed_band
from balenas_core.report._numbers import ABSENT, as_number, count, duration, short
from balenas_core.report._parts import (
    Cell,
    Chart,
    Charts,
    Column,
    Note,
    Part,
    Section,
    Table,
)
from balenas_core.report._record import DAMAGE, RunRecord

_CHARTS = {
    "train_loss": ("Training loss", ""),
    "validation_loss": ("Validation loss", ""),
    "validation_accuracy": ("Validation accuracy", "%"),
    "sigma_mean": ("Mean sigma", ""),
    "weights_entropy": ("Entropy of the mean weights (nats)", ""),
    "kl": ("KL divergence from the prior (nats)", ""),
    "hessian_top_eigenvalue": ("Top eigenvalue of the Hessian", ""),
}
_OF_ONE_RUN = frozenset({"seed", "output"})


def overview(groups: Sequence[Group], anchors: Mapping[str, str]) -> Section:
    """Return all runs in one table.

    Args:
        groups: The runs.
        anchors: Name of a run -> where in the page it is told of.
    """
    outcomes = {run.name: outcome(run) for group in groups for run in group.runs}
    names = list(dict.fromkeys(name for one in outcomes.values() for name in one))
    rows = []
    for group in groups:
        for run in group.runs:
            seed = run.info.setting("seed")
            values = outcomes[run.name]
            done = f"{run.info.epochs_done} of {run.info.epochs or '?'}"
            rows.append(
                [
                    Cell(run.name, link=anchors[run.name]),
                    Cell(run.info.status),
                    Cell(group.name),
                    Cell(ABSENT if seed is None else str(seed), as_number(seed)),
                    Cell(done, run.info.epochs_done),
                    *(_cell(name, values.get(name)) for name in names),
                ]
            )
    columns = [
        Column("run"),
        Column("status"),
        Column("group"),
        Column("seed", True),
        Column("epochs", True),
        *(Column(name, True) for name in names),
    ]
    table = Table("All runs", columns, rows, sorted_by=2)
    return Section("Overview", [table, Note(_grouping(groups))], anchor="overview")


def comparison(groups: Sequence[Group]) -> list[Section]:
    """Return what differs between runs, the numbers over seeds, and the curves."""
    sections = []
    for title, make in (
        ("Different settings", _settings),
        ("Over seeds", _over_seeds),
        ("Curves over seeds", _curves),
        ("In the benchmark", _benchmark),
    ):
        try:
            parts = make(groups)
        except DAMAGE as error:
            told = f"A run is damaged ({type(error).__name__}: {error})."
            parts = [Note(told, is_warning=True)]
        if parts:
            sections.append(Section(title, parts))
    return sections


def outcome(run: RunRecord) -> dict[str, float]:
    """Return the numbers by which runs are compared, where they are known."""
    try:
        found = _outcome(run)
    except DAMAGE:
        return {}
    return {name: value for name, value in found.items() if value is not None}


def _outcome(run: RunRecord) -> dict[str, float | None]:
    supernet = run.series("validation_accuracy")
    found = {
        "test accuracy": as_number(run.training.get("test_accuracy")),
        "supernet accuracy": supernet[-1][1] if supernet else None,
        "inherited accuracy": as_number(run.result.get("validation_accuracy")),
    }
    for entry in run.result.get("benchmark") or ():
        for name in ("regret", "rank"):
            found[f"{entry['dataset']} {name}"] = as_number(entry.get(name))
    seconds = run.result.get("seconds")
    found["time"] = sum(seconds.values()) if seconds else None
    return found


def _cell(name: str, value: float | None) -> Cell:
    return Cell(duration(value) if name == "time" else short(value), value)


def _grouping(groups: Sequence[Group]) -> str:
    total = sum(len(group.runs) for group in groups)
    return (
        f"{count(total, 'run')} in {count(len(groups), 'group')}: the runs of a group have one "
        f"configuration but for the seed, and for where they ran."
    )


def _settings(groups: Sequence[Group]) -> Sequence[Part]:
    if len(groups) == 1:
        return ()
    first = [group.runs[0].info.config for group in groups]
    found = differences([{k: v for k, v in c.items() if k not in _OF_ONE_RUN} for c in first])
    if not found:
        return [Note("No configuration is known of some runs: they cannot be compared.")]
    columns = [Column("setting"), *(Column(group.title) for group in groups)]
    rows = [
        [Cell(key, is_code=True), *(Cell(ABSENT if v is None else str(v)) for v in values)]
        for key, values in found.items()
    ]
    return [Table("Settings in which the groups differ", columns, rows)]


def _over_seeds(groups: Sequence[Group]) -> Sequence[Part]:
    if all(len(group.runs) == 1 for group in groups):
        return ()
    outcomes = [[outcome(run) for run in group.runs] for group in groups]
    names = list(dict.fromkeys(name for group in outcomes for one in group for name in one))
    rows = []
    for name in names:
        row = [Cell(name)]
        for group in outcomes:
            values = [one[name] for one in group if name in one]
            row.append(_interval(name, values))
        rows.append(row)
    columns = [
        Column("number"),
        *(Column(f"{g.title}, {count(len(g.runs), 'run')}", True) for g in groups),
    ]
    told = "Mean over seeds, with half the width of its 95 % confidence interval (Student's t)"
    return [Table(told, columns, rows)]


def _interval(name: str, values: Sequence[float]) -> Cell:
    if not values:
        return Cell(ABSENT)
    mean, half = mean_interval(values)
    write = duration if name == "time" else short
    text = write(mean) if len(values) == 1 else f"{write(mean)} ± {write(half)}"
    return Cell(text, mean)


def _curves(groups: Sequence[Group]) -> Sequence[Part]:
    charts = []
    for key, (title, unit) in _CHARTS.items():
        bands = {}
        for group in groups:
            band = seed_band([run.series(key) for run in group.runs])
            if band is not None:
                bands[group.title] = band
        if bands:
            charts.append(seeds_chart(title, bands, [g.title for g in groups], unit=unit))
    if not charts:
        return ()
    told = "Thick: the mean over the runs of a group, with its 95 % confidence band (Student's t)"
    told += " where there are two or more. Thin: the runs themselves."
    return [Note(told), Charts(charts)]


def _benchmark(groups: Sequence[Group]) -> Sequence[Part]:
    """Return the choices of all runs in histograms, a picture for each space."""
    problems: list[str] = []
    by_space: dict[str, list[tuple[str, RunRecord]]] = {}
    for group in groups:
        for run in group.runs:
            if run.result.get("benchmark"):
                name = str(run.info.setting("space"))
                by_space.setdefault(name, []).append((group.title, run))
    charts: list[Chart] = []
    for runs in by_space.values():
        charts += histograms(runs[0][1], runs, [group.title for group in groups], problems)
    notes: list[Part] = [Note(problem) for problem in dict.fromkeys(problems)]
    return [Charts(charts), *notes] if charts else notes
