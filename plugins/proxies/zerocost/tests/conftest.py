"""A NAS-Bench-201 network written from its paper alone, to check ours and the scores against."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from balenas_core.scores.formula import fill_by_formula, formula_batch

EDGES = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]


class Cell(nn.Module):
    keeps_graph = True

    def __init__(self, operations, channels, labels, first_label):
        super().__init__()
        self.operations = operations
        self.convs = nn.ModuleDict()
        for e, (name, (target, source)) in enumerate(zip(operations, EDGES, strict=True)):
            if name.startswith("nor_conv"):
                k = int(name[-1])
                self.convs[f"{target}{source}"] = nn.Sequential(
                    nn.ReLU(),
                    nn.Conv2d(channels, channels, k, padding=k // 2, bias=False),
                    nn.BatchNorm2d(channels),
                )
                labels[self.convs[f"{target}{source}"][1]] = first_label + e

    def forward(self, x):
        nodes = [x]
        for target in (1, 2, 3):
            total = torch.zeros_like(x)
            for name, (t, source) in zip(self.operations, EDGES, strict=True):
                if t == target:
                    total = total + self.operate(name, nodes[source], f"{t}{source}")
            nodes.append(total)
        return nodes[-1]

    def operate(self, name, x, key):
        if name == "none":
            return x.mul(0.0) if self.keeps_graph else torch.zeros_like(x)
        if name == "skip_connect":
            return x
        if name == "avg_pool_3x3":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self.convs[key](x)


class Reduction(nn.Module):
    def __init__(self, channels, labels, first_label):
        super().__init__()
        out = 2 * channels
        self.a = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, 2, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.b = nn.Sequential(
            nn.ReLU(), nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(channels, out, 1, bias=False))
        for i, conv in enumerate((self.a[1], self.b[1], self.shortcut[1])):
            labels[conv] = first_label + i

    def forward(self, x):
        return self.shortcut(x) + self.b(self.a(x))


class TextbookNB201(nn.Module):
    def __init__(self, text, channels=4, cells=1, classes=10):
        super().__init__()
        operations = re.findall(r"(\w+)~\d", text)
        labels = {}
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        labels[self.stem[0]] = 1
        self.body = nn.ModuleList()
        for stage in range(3):
            for n in range(cells):
                self.body.append(Cell(operations, channels, labels, 100 + 1000 * stage + 10 * n))
            if stage < 2:
                self.body.append(Reduction(channels, labels, 5000 + 10 * stage))
                channels *= 2
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, classes)
        name_of = {module: name for name, module in self.named_modules()}
        self.labels = {f"{name_of[module]}.weight": label for module, label in labels.items()}
        self.labels |= {"head.weight": 9000, "head.bias": 9001}

    def forward(self, x):
        x = self.stem(x)
        for module in self.body:
            x = module(x)
        return self.head(self.last(x).mean((2, 3)))


@pytest.fixture
def textbook():
    """Build a formula-filled network: C = 4, N = 1, float64 unless told."""

    def build(text, dtype=torch.float64, **size):
        network = TextbookNB201(text, **size).to(dtype)
        fill_by_formula(network, network.labels)
        return network

    return build


@pytest.fixture
def formula_images():
    """Build batch ``index`` of 8 images of 32 x 32 pixels unless told."""

    def build(size=8, pixels=32, index=0):
        return formula_batch(size, (3, pixels, pixels), 10, index=index)

    return build
