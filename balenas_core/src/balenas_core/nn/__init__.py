"""Layers of supernets that search spaces share.

What a space is stands in ``interfaces``; which operations it has, in its own plugin.
"""

from balenas_core.nn._conv_norm_relu import conv_norm_relu as conv_norm_relu
from balenas_core.nn._dag import CellEdge as CellEdge, dag_edges as dag_edges
from balenas_core.nn._edge_normalization import (
    edge_weighted as edge_weighted,
    input_decisions as input_decisions,
    input_one_hot as input_one_hot,
    input_weights as input_weights,
)
from balenas_core.nn._functions import (
    inner_product as inner_product,
    keeping_layout as keeping_layout,
    max_pool_gradient as max_pool_gradient,
    max_pool_with_indices as max_pool_with_indices,
    runs_plain as runs_plain,
)
from balenas_core.nn._head import ClassifierHead as ClassifierHead
from balenas_core.nn._layers import (
    FactorizedReduce as FactorizedReduce,
    Pool as Pool,
    ReluConvNorm as ReluConvNorm,
    SeparableConvNorm as SeparableConvNorm,
    drop_path as drop_path,
    global_average as global_average,
)
from balenas_core.nn._memory import (
    memory_as_given as memory_as_given,
    preferred_memory as preferred_memory,
)
from balenas_core.nn._mixed import (
    EdgeWeights as EdgeWeights,
    MixedEdge as MixedEdge,
    edge_weights as edge_weights,
)
from balenas_core.nn._norm import BatchNormMode as BatchNormMode, scaled_norm as scaled_norm
from balenas_core.nn._partial import (
    PartialOperation as PartialOperation,
    Partition as Partition,
    partition_of as partition_of,
)
from balenas_core.nn._sharing import (
    NodeSum as NodeSum,
    SharingOperation as SharingOperation,
    Source as Source,
)
from balenas_core.nn._staged import (
    RegularizedNetwork as RegularizedNetwork,
    StagedNetwork as StagedNetwork,
)
from balenas_core.nn._synced_norm import synced_statistics as synced_statistics
