"""Cost of scoring networks: our proxies together against straightforward code, one by one.

Prints CPU seconds an architecture and their ratio for {synflow, naswot, snip, grad_norm, jacov}
on NAS-Bench-201 cells, single-threaded, and checks that both give the same scores.

    python benchmarks/proxies.py [--cells 6] [--channels 16] [--depth 5] [--size 32] [--batch 64]

The straightforward code follows the public implementations: one deep copy of the network, one
forward and one full backward pass for each proxy, scores in numpy.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.scores.network_pass import score_many

NAMES = ("synflow", "naswot", "snip", "grad_norm", "jacov")


def plain_synflow(network: nn.Module, batch: Batch) -> float:
    """SynFlow on a double-precision copy without batch normalisation."""
    network = copy.deepcopy(network).double()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.abs_()
    network(torch.ones((1, *batch.images.shape[1:]), dtype=torch.float64)).sum().backward()
    return float(sum((w.detach() * w.grad).abs().sum() for w in _weights(network)))


def plain_naswot(network: nn.Module, batch: Batch) -> float:
    """NASWOT by hooks on the ReLUs and one product of matrices a half."""
    network = copy.deepcopy(network).train()
    kernel = np.zeros((len(batch.images),) * 2)

    def look(_module: nn.Module, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> None:
        code = (inputs[0].flatten(1) > 0).float()
        kernel[:] += (code @ code.T + (1 - code) @ (1 - code).T).numpy()

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(look)
    with torch.no_grad():
        network(batch.images)
    return float(np.linalg.slogdet(kernel)[1])


def plain_snip(network: nn.Module, batch: Batch) -> float:
    """SNIP: weight times gradient after a backward pass."""
    network = _after_backward(network, batch)
    return float(sum((w.detach() * w.grad).abs().sum() for w in _weights(network)))


def plain_grad_norm(network: nn.Module, batch: Batch) -> float:
    """Gradient norms after a backward pass."""
    network = _after_backward(network, batch)
    return float(sum(w.grad.norm() for w in _weights(network)))


def plain_jacov(network: nn.Module, batch: Batch) -> float:
    """Jacobian covariance in numpy."""
    network = copy.deepcopy(network).train()
    images = batch.images.clone().requires_grad_()
    logits = network(images)
    logits.backward(torch.ones_like(logits))
    assert images.grad is not None
    v = np.linalg.eigvalsh(np.corrcoef(images.grad.flatten(1).numpy()))
    return float(-np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5)))


def _after_backward(network: nn.Module, batch: Batch) -> nn.Module:
    network = copy.deepcopy(network).train()
    functional.cross_entropy(network(batch.images), batch.labels).backward()
    return network


def _weights(network: nn.Module) -> list[torch.Tensor]:
    layers = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return [layer.weight for layer in layers if layer.weight.grad is not None]


PLAIN: dict[str, Callable[[nn.Module, Batch], float]] = {
    "synflow": plain_synflow,
    "naswot": plain_naswot,
    "snip": plain_snip,
    "grad_norm": plain_grad_norm,
    "jacov": plain_jacov,
}


def _ours() -> dict[str, Proxy]:
    proxies = {}
    for name in NAMES:
        plugin = default_registry().find("proxy", name).load()
        options = None if plugin.options is None else plugin.options()
        proxies[name] = plugin.load_implementation()(options)
    return proxies


def main() -> None:
    """Print the table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("cells", 6),
        ("channels", 16),
        ("depth", 5),
        ("size", 32),
        ("batch", 64),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plugin = default_registry().find("space", "nb201").load()
    assert plugin.options is not None
    space = plugin.load_implementation()(
        plugin.options(channels=arguments.channels, cells_per_stage=arguments.depth)
    )
    generator = torch.Generator().manual_seed(0)
    shape = (3, arguments.size, arguments.size)
    images = torch.randn((arguments.batch, *shape), generator=generator)
    batch = Batch(images, torch.arange(arguments.batch) % 10)
    proxies = _ours()
    rows = []
    for _ in range(arguments.cells):
        torch.manual_seed(0)
        network = space.network(space.random(generator), Task(shape, 10))
        rows.append(_compare(network, batch, proxies))
    _report(rows)


def _compare(network: nn.Module, batch: Batch, proxies: dict[str, Proxy]) -> dict[str, float]:
    """Score one network in both ways; the two alternate, so that a busy machine slows both."""
    costs: dict[str, float] = {}
    expected = {}
    for name, straightforward in PLAIN.items():
        start = time.process_time()
        expected[name] = straightforward(network, batch)
        costs[name] = time.process_time() - start
    start = time.process_time()
    scores = score_many(network, batch, proxies)
    costs["ours"] = time.process_time() - start
    start = time.process_time()
    proxies["synflow"].score(network, batch)
    costs["our synflow"] = time.process_time() - start
    for name in NAMES:
        # Where ours is -inf (a singular kernel), the other is whatever rounding makes of it.
        if np.isfinite(scores[name]):
            difference = abs(scores[name] - expected[name])
            costs[f"difference {name}"] = difference / max(abs(expected[name]), 1e-300)
    return costs


def _report(rows: list[dict[str, float]]) -> None:
    timed = (*NAMES, "ours", "our synflow")
    mean = {key: statistics.mean(row[key] for row in rows) for key in timed}
    total = sum(mean[name] for name in NAMES)
    ratios = [sum(row[name] for name in NAMES) / row["ours"] for row in rows]
    print(f"{'proxy':<14}{'CPU s, straightforward':>24}{'largest difference':>22}")
    for name in NAMES:
        worst = max(row.get(f"difference {name}", 0.0) for row in rows)
        print(f"{name:<14}{mean[name]:>24.3f}{worst:>22.1e}")
    print(f"{'all':<14}{total:>24.3f}")
    print(f"{'ours, all':<14}{mean['ours']:>24.3f}")
    ratio = statistics.median(row["synflow"] / row["our synflow"] for row in rows)
    print(f"{'our synflow':<14}{mean['our synflow']:>24.3f}")
    print(f"ratio, median over cells: all {statistics.median(ratios):.2f}, synflow {ratio:.2f}")
    print(json.dumps({"all": statistics.median(ratios), "synflow": ratio, "seconds": mean}))


if __name__ == "__main__":
    main()
