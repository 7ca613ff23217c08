"""The anytime plot: regret over CPU seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .records import Records, Results
from .statistics import estimate


def anytime(results: Results, path: Path) -> None:
    """Draw the mean regret of the argmax after every epoch, and of the selections at the end."""
    from matplotlib import colormaps, rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, (label, records) in enumerate(results.searches.items()):
        colour = colours[number % len(colours)]
        if not all(r["epochs"] for r in records.values()):
            continue
        seconds, regrets = _curve(records)
        axes.plot(seconds, regrets, color=colour, label=f"{label} ({len(records)})")
        for (owner, name), chosen in results.selections.items():
            if owner != label:
                continue
            spent = [records[s]["cpu_seconds"] + r["cpu_seconds"] for s, r in chosen.items()]
            found = estimate([next(iter(r["regret"].values())) for r in chosen.values()])
            axes.errorbar(
                np.mean(spent),
                found.mean,
                yerr=[[found.mean - found.low], [found.high - found.mean]],
                fmt="o",
                color=colour,
            )
            axes.annotate(name, (float(np.mean(spent)), found.mean), fontsize=7)
    axes.set(xlabel="CPU seconds", ylabel="regret in points, mean over seeds", yscale="log")
    axes.legend(fontsize=7)
    # Without a salt of its own every file has other names inside.
    with rc_context({"svg.hashsalt": "arena"}):
        figure.savefig(path, metadata={"Date": None})


def _curve(records: Records) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean CPU seconds and mean regret of the argmax after each epoch all have."""
    lists = [r["epochs"] for r in records.values()]
    shortest = min(map(len, lists))
    seconds = [float(np.mean([e[k]["cpu_seconds"] for e in lists])) for k in range(shortest)]
    regrets = [
        float(np.mean([next(iter(e[k]["argmax_regret"].values())) for e in lists]))
        for k in range(shortest)
    ]
    return seconds, regrets
