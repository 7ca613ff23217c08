"""Calibration of a small network on held-out digits: Adam, NGVI and ``ivon-opt``.

400 images train a perceptron of 64-128-128-10, the other 1,397 are held out. Adam predicts at its
point, the Bayesian optimizers by the mean prediction of 64 draws from their posteriors. Prints
means and standard deviations over seeds. ``python benchmarks/calibration.py`` takes about two
minutes of one core.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from ivon import IVON
from sklearn.datasets import load_digits
from torch import Tensor, nn

from balenas_optimizer_ngvi import NGVI

TRAINED, STEPS, BATCH, DRAWS, BINS, SEEDS = 400, 1500, 50, 64, 15, 3


def split(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels to train on, and those that are held out."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


def network(seed: int) -> nn.Module:
    """Return a fresh network."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return the expected calibration error in points, over bins of equal width."""
    confidence, guess = probabilities.max(1)
    hits = (guess == labels).float()
    bins = (confidence * BINS).clamp(max=BINS - 1).long()
    error = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            gap = (confidence[inside].mean() - hits[inside].mean()).abs()
            error += float(gap) * float(inside.float().mean())
    return 100 * error


def by_adam(model: nn.Module, draw: Callable[[], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Train by Adam, and predict at the point."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        images, labels = draw()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return model(x).softmax(1)


def by_ngvi(model: nn.Module, draw: Callable[[], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Train by NGVI, and average predictions over its posterior."""
    optimizer = NGVI(
        model.named_parameters(), lr=0.1, ess=TRAINED, variant="ivon", prior_precision=0.4,
        hess_init=3.0, betas=(0.9, 0.999),
    )  # fmt: skip
    for _ in range(STEPS):
        images, labels = draw()
        with optimizer.sampled_params():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    total = torch.zeros(len(x), 10)
    with torch.no_grad():
        for _ in range(DRAWS):
            with optimizer.sampled_params(train=False):
                total += model(x).softmax(1)
    return total / DRAWS


def by_ivon(model: nn.Module, draw: Callable[[], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Train by the package ``ivon-opt`` with the same settings."""
    optimizer = IVON(
        model.parameters(), lr=0.1, ess=TRAINED, weight_decay=0.4 / TRAINED, hess_init=3.0,
        beta1=0.9, beta2=0.999,
    )  # fmt: skip
    for _ in range(STEPS):
        images, labels = draw()
        with optimizer.sampled_params(train=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    total = torch.zeros(len(x), 10)
    with torch.no_grad():
        for _ in range(DRAWS):
            with optimizer.sampled_params():
                total += model(x).softmax(1)
    return total / DRAWS


def measured(method: Callable[..., Tensor], seed: int) -> tuple[float, float, float]:
    """Return accuracy in percent, negative log likelihood in nats, and calibration error."""
    x, y, held_x, held_y = split(seed)
    batches = torch.Generator().manual_seed(seed + 1000)

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(x), (BATCH,), generator=batches)
        return x[chosen], y[chosen]

    probabilities = method(network(seed), draw, held_x)
    accuracy = 100 * (probabilities.argmax(1) == held_y).float().mean()
    likelihood = nn.functional.nll_loss(probabilities.clamp_min(1e-12).log(), held_y)
    return float(accuracy), float(likelihood), calibration_error(probabilities, held_y)


def main() -> None:
    """Print the table of docs/ngvi.md."""
    print("| optimizer | accuracy, % | NLL, nats | calibration error, points |\n|---|---|---|---|")
    methods = {"`Adam`, lr 1e-3": by_adam, "`NGVI`, variant `ivon`": by_ngvi, "`ivon-opt`": by_ivon}
    for name, method in methods.items():
        rows = torch.tensor([measured(method, seed) for seed in range(SEEDS)])
        mean, spread = rows.mean(0).tolist(), rows.std(0).tolist()
        cells = (f"{m:.{d}f} ± {s:.{d}f}" for m, s, d in zip(mean, spread, (2, 3, 2), strict=True))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
