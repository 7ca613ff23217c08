"""The DARTS supernet as in the released code: every operation of every edge by itself."""

import torch

from balenas_space_darts._choices import EDGES, edge_name


def zero(x, stride):
    return (x[:, :, ::stride, ::stride]).mul(0.0)


def mixed_edge(edge, x, row, stride):
    return sum(
        weight * (edge.operations[name](x) if name in edge.operations else zero(x, stride))
        for weight, name in zip(row, edge.choices, strict=True)
    )


def cell_forward(cell, older, younger, rows, weights):
    nodes = [cell.preprocess_older(older), cell.preprocess_younger(younger)]
    for target in range(2, 6):
        terms = [
            edge_weight(cell.kind, edge, weights)
            * mixed_edge(
                cell.edges[position],
                nodes[edge.source],
                rows[position],
                2 if cell.is_reduction and edge.source < 2 else 1,
            )
            for position, edge in enumerate(EDGES)
            if edge.target == target
        ]
        nodes.append(sum(terms))
    return torch.cat(nodes[2:], dim=1)


def edge_weight(kind, edge, weights):
    """beta of PC-DARTS: sum over edges of softmax(beta) * mixture of operations."""
    table = weights.get(f"{kind}_inputs_{edge.target}")
    return 1.0 if table is None else table[0, edge.source]


def rows_of(kind, weights):
    if kind in weights:
        return list(weights[kind])
    return [weights[edge_name(kind, edge)][0] for edge in EDGES]


def supernet_forward(supernet, x, weights):
    older = younger = supernet.stem.first(x)
    for cell in supernet.cells:
        rows = rows_of(cell.kind, weights)
        older, younger = younger, cell_forward(cell, older, younger, rows, weights)
    return supernet.classifier(torch.nn.functional.adaptive_avg_pool2d(younger, 1).flatten(1))
