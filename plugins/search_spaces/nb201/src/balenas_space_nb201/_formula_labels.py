"""Formula labels of NAS-Bench-201 networks."""

from __future__ import annotations

import re

from torch import nn

_STAGES = 3
_EDGES = ("1_0", "2_0", "2_1", "3_0", "3_1", "3_2")
_PARTS = ("conv_a.conv", "conv_b.conv", "project")
_CELL = re.compile(r"cells\.(\d+)\.operations\.(\d_\d)\.conv\.weight")
_REDUCTION = re.compile(r"skeleton\.reductions\.(\d)\.(conv_a\.conv|conv_b\.conv|project)\.weight")
_FIXED = {
    "skeleton.stem.0.weight": 1,
    "skeleton.classifier.weight": 9000,
    "skeleton.classifier.bias": 9001,
}


def formula_labels(network: nn.Module) -> dict[str, int]:
    """Return the formula label of every weight of a network, by parameter name.

    Stem 1; the convolution of stage s, cell n, edge e (in the order 1<-0, 2<-0, 2<-1, 3<-0,
    3<-1, 3<-2) ``100 + 1000 s + 10 n + e``; the first convolution of reduction block r
    ``5000 + 10 r``, its second one more, the one of its shortcut two more; classifier 9000, its
    bias 9001.

    Raises:
        AttributeError: The network has no ``cells``.
    """
    cells = network.get_submodule("cells")
    per_stage = sum(1 for _ in cells.children()) // _STAGES
    labels = {}
    for name, _ in network.named_parameters():
        if name in _FIXED:
            labels[name] = _FIXED[name]
        elif match := _CELL.fullmatch(name):
            stage, cell = divmod(int(match[1]), per_stage)
            labels[name] = 100 + 1000 * stage + 10 * cell + _EDGES.index(match[2])
        elif match := _REDUCTION.fullmatch(name):
            labels[name] = 5000 + 10 * int(match[1]) + _PARTS.index(match[2])
    return labels
