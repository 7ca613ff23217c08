"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .measures import Truth
from .methods import METHODS
from .records import Records, Results
from .statistics import difference, estimate


def distributions(results: Results, truth: Truth) -> str:
    """Return what each method's distribution has learned at the end of its search."""
    head = (
        "method", "seeds", "mean accuracy", "mass on best 1 %", "regret of argmax",
        "worst argmax", "supernet %", "CPU s",
    )  # fmt: skip
    rows = [_uniform(truth)]
    for label, records in results.searches.items():
        if not _learns(label, records):
            continue
        last = [r["epochs"][-1] for r in records.values()]
        regrets = [_first(e["argmax_regret"]) for e in last]
        rows.append(
            (
                f"`{label}`",
                str(len(last)),
                estimate([e["mean_accuracy"] for e in last]).text(),
                estimate([e["best_mass"] for e in last]).text(3),
                estimate(regrets).text(),
                f"{max(regrets):.2f}",
                _mean_of(records, "supernet_accuracy"),
                f"{_mean(r['cpu_seconds'] for r in records.values()):.0f}",
            )
        )
    return markdown(head, rows)


def choices(results: Results) -> str:
    """Return the regret of every selection on every data set, and its cost."""
    datasets = _datasets(results)
    head = (
        "search", "selection", "seeds", *(f"regret, {d}" for d in datasets), "inherited %",
        "CPU s, selection", "CPU s, all",
    )  # fmt: skip
    rows = []
    for (label, name), records in _with_argmax(results).items():
        search = results.searches[label]
        rows.append(
            (
                f"`{label}`",
                f"`{name}`",
                str(len(records)),
                *(estimate([r["regret"][d] for r in records.values()]).text() for d in datasets),
                _mean_of(records, "inherited_accuracy"),
                "" if name == "argmax" else f"{_mean(_seconds(records)):.0f}",
                f"{_mean(_total(search, records, name)):.0f}",
            )
        )
    return markdown(head, rows)


def differences(results: Results, label: str, name: str, controls: Iterable[str]) -> str:
    """Return paired differences of a selection's regret to those of controls."""
    datasets = _datasets(results)
    rows = []
    found = _with_argmax(results)
    own = found.get((label, name), {})
    for (control, selection), records in found.items():
        if control not in controls:
            continue
        pairs = [difference(_regret(own, d), _regret(records, d)) for d in datasets]
        if pairs[0] is not None:
            rows.append(
                (
                    f"`{control}`, `{selection}`",
                    str(pairs[0].count),
                    *(p.text() if p else "" for p in pairs),
                )
            )
    head = (f"`{label}`, `{name}`, minus", "seeds", *datasets)
    return markdown(head, rows)


def stages(results: Results) -> str:
    """Return what each stage of a staged selection did to the regret, on the first data set."""
    head = ("search", "selection", "stage", "candidates", "regret of its first",
            "regret of its best survivor", "s")  # fmt: skip
    rows = []
    for (label, name), records in results.selections.items():
        by_stage: dict[int, list[Mapping[str, Any]]] = {}
        for record in records.values():
            for number, stage in enumerate(record["stages"]):
                by_stage.setdefault(number, []).append(stage)
        rows += [_stage(label, name, group) for group in by_stage.values()]
    return markdown(head, rows)


def _stage(label: str, name: str, group: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return (
        f"`{label}`",
        f"`{name}`",
        f"`{group[0]['name']}`",
        f"{_mean(s['candidates'] for s in group):.0f}",
        estimate([_first(s["first_regret"]) for s in group]).text(),
        estimate([s["best_regret"] for s in group]).text(),
        f"{_mean(s['seconds'] for s in group):.0f}",
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Example:
        >>> print(markdown(("a", "b"), [("1", "2")]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [head, *rows]
    texts = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([texts[0], "|" + "---|" * len(head), *texts[1:]])


def _with_argmax(results: Results) -> dict[tuple[str, str], Records]:
    """Return all selections, and the argmax of every search as one of them."""
    found: dict[tuple[str, str], Records] = {}
    for label, records in results.searches.items():
        if _learns(label, records):
            found[label, "argmax"] = records
        found |= {key: value for key, value in results.selections.items() if key[0] == label}
    return found


def _learns(label: str, records: Records) -> bool:
    """Whether a distribution has moved, so that its argmax says something."""
    is_uniform = label in METHODS and METHODS[label].is_uniform
    return not is_uniform and all(r["epochs"] for r in records.values())


def _uniform(truth: Truth) -> tuple[str, ...]:
    size = truth.is_best.size
    first = next(iter(truth.accuracies.values()))
    return ("uniform (exact)", "", f"{first.mean():.2f}", f"{truth.is_best.sum() / size:.3f}",
            f"{first.max() - first.mean():.2f}", "", "", "0")  # fmt: skip


def _datasets(results: Results) -> tuple[str, ...]:
    for records in results.searches.values():
        for record in records.values():
            return tuple(record["regret"])
    return ()


def _regret(records: Records, dataset: str) -> dict[int, float]:
    return {seed: record["regret"][dataset] for seed, record in records.items()}


def _mean_of(records: Records, key: str) -> str:
    """Return the mean of what is None where no supernet was trained."""
    values = [r[key] for r in records.values()]
    return "" if None in values else f"{_mean(values):.1f}"


def _seconds(records: Records) -> list[float]:
    return [r["cpu_seconds"] for r in records.values()]


def _total(search: Records, records: Records, name: str) -> list[float]:
    own = 0 if name == "argmax" else 1
    return [search[s]["cpu_seconds"] + own * r["cpu_seconds"] for s, r in records.items()]


def _first(regret: Mapping[str, float]) -> float:
    return next(iter(regret.values()))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
