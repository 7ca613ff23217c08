"""The NAS-Bench-1Shot1 supernet as in the released code: every operation by itself."""

import torch
from torch.nn import functional


def cell_forward(cell, x, weights):
    states = []
    parts = zip(cell.projections, cell.blocks, weights["operations"], strict=True)
    for node, (projection, block, row) in enumerate(parts, start=1):
        inputs = [projection(x), *states]
        if f"input_{node}" in weights:
            inputs = [w * t for w, t in zip(weights[f"input_{node}"][0], inputs, strict=True)]
        entering = sum(inputs)
        states.append(
            sum(w * op(entering) for w, op in zip(row, block.operations.values(), strict=True))
        )
    output = weights["output"][0]
    scaled = [w * state for w, state in zip(output[1:], states, strict=True)]
    return output[0] * cell.output_projection(x) + torch.cat(scaled, dim=1)


def supernet_forward(supernet, x, weights):
    skeleton, cells = supernet.skeleton, supernet.cells
    x = skeleton.stem(x)
    for index, cell in enumerate(cells):
        if index in (len(cells) // 3, 2 * len(cells) // 3):
            x = functional.max_pool2d(x, 2, stride=2, ceil_mode=True)
        x = cell_forward(cell, x, weights)
    x = skeleton.last(x)
    return skeleton.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
