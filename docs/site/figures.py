"""Figures of the written pages, made from what the code computes."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from pages import DOCS, ROOT
from torch import Tensor

from balenas_optimizer_ngvi import NGVI

mpl.use("Agg")
from matplotlib import pyplot as plt

_NAMES = ("skip", "conv 3x3", "pool")
_WORTH = (1.05, 1.0, 1.06)
"""Loss of each operation alone: the second is best, the others are nearly alike."""
_STEPS = (0, 300, 3000)
_COLORS = ("#7a5195", "#ef5675", "#ffa600")


def q_over_logits(target: Path) -> None:
    """Draw q over three logits before, while and after it learns which operation helps."""
    logits = torch.nn.Parameter(torch.zeros(3))
    optimizer = NGVI(
        [logits], lr=0.05, ess=500, variant="ivon", initial_sigma=0.9,
        generator=torch.Generator().manual_seed(0), backend="torch",
    )  # fmt: skip
    worth = torch.tensor(_WORTH)
    figure, axes = plt.subplots(
        2, 3, figsize=(9, 4.2), sharex="row", sharey="row", layout="constrained"
    )
    done = 0
    for column, steps in enumerate(_STEPS):
        for _ in range(steps - done):
            with optimizer.sampled_params():
                optimizer.zero_grad()
                (logits.softmax(0) @ worth).backward()
            optimizer.step()
        done = steps
        mean, sigma = optimizer.posterior(logits)
        _densities(axes[0, column], mean, sigma, steps)
        _chances(axes[1, column], mean, sigma)
    axes[0, 0].set_ylabel("density of q")
    axes[1, 0].set_ylabel("probability\nof being drawn")
    axes[0, 2].legend(_NAMES, frameon=False)
    figure.savefig(target, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _densities(axis: plt.Axes, mean: Tensor, sigma: Tensor, steps: int) -> None:
    x = np.linspace(-4, 6, 400)
    for color, m, s in zip(_COLORS, mean.tolist(), sigma.tolist(), strict=True):
        axis.plot(x, np.exp(-(((x - m) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi)), color=color)
    axis.set_title(f"after {steps:,} steps")
    axis.set_xlabel("logit")


def _chances(axis: plt.Axes, mean: Tensor, sigma: Tensor) -> None:
    noise = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(1))
    counts = torch.bincount((mean + sigma * noise).argmax(1), minlength=3) / len(noise)
    axis.bar(_NAMES, counts.tolist(), color=_COLORS)
    axis.set_ylim(0, 1)


_CELL = re.compile(r"(\.\d+) \[(\.\d+), (\.\d+)\]")


def proxies(target: Path) -> None:
    """Draw the first table of benchmarks/results/correlation.md with its intervals."""
    text = (ROOT / "benchmarks" / "results" / "correlation.md").read_text(encoding="utf-8")
    table = text.split("\n| |")[1].split("\n\n")[0].splitlines()
    sets = [cell.strip() for cell in table[0].split("|")[:3]]
    rows = [(line.split("`")[1], _CELL.findall(line)) for line in table[2:]]
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    places = np.arange(len(rows))[::-1]
    for number, (name, color) in enumerate(zip(sets, _COLORS, strict=True)):
        values = np.array([[float(value) for value in cells[number]] for _, cells in rows])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        axis.errorbar(
            values[:, 0], places - 0.15 * number, xerr=errors, fmt="o", color=color, label=name
        )
    axis.set_yticks(places, [name for name, _ in rows])
    axis.set_xlabel("Spearman's rank correlation with accuracy, all 15,625 cells")
    axis.legend(frameon=False)
    figure.savefig(target, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def main(folder: Path = DOCS / "figures") -> None:
    """Write every figure into a folder."""
    folder.mkdir(exist_ok=True)
    style = {"svg.hashsalt": "balenas", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        q_over_logits(folder / "q-over-logits.svg")
        proxies(folder / "proxies.svg")


if __name__ == "__main__":
    main()
