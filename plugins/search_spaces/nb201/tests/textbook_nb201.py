"""The NAS-Bench-201 supernet as in the released code: every operation by itself."""

import torch


def mixed_edge(edge, x, row):
    return sum(
        weight * (edge.operations[name](x) if name in edge.operations else x.mul(0.0))
        for weight, name in zip(row, edge.choices, strict=True)
    )


def cell_forward(cell, x, weights):
    table = weights["cell"]
    nodes = [x]
    position = 0
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            edges = weights.get(f"cell_inputs_{target}")
            beta = 1.0 if edges is None else edges[0, source]
            terms.append(beta * mixed_edge(cell.edges[position], nodes[source], table[position]))
            position += 1
        nodes.append(sum(terms))
    return nodes[-1]


def supernet_forward(supernet, x, weights):
    skeleton, cells = supernet.skeleton, supernet.cells
    x = skeleton.stem(x)
    for index, cell in enumerate(cells):
        if index in (len(cells) // 3, 2 * len(cells) // 3):
            x = skeleton.reductions[index // (len(cells) // 3) - 1](x)
        x = cell_forward(cell, x, weights)
    x = skeleton.last_relu(skeleton.last_norm(x))
    return skeleton.classifier(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
