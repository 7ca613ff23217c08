"""Building blocks that cell-based search spaces share."""

from balenas_core.nn._dag import CellEdge as CellEdge, dag_edges as dag_edges
from balenas_core.nn._layers import (
    FactorizedReduce as FactorizedReduce,
    ReluConvNorm as ReluConvNorm,
    drop_path as drop_path,
    global_average as global_average,
    make_pool as make_pool,
)
from balenas_core.nn._mixed import (
    EdgeWeights as EdgeWeights,
    MixedEdge as MixedEdge,
    edge_weights as edge_weights,
)
from balenas_core.nn._norm import BatchNormMode as BatchNormMode
