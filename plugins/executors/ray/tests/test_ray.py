"""Candidates on a Ray cluster."""

import os
import sys
import time

import cloudpickle
import pytest

pytest.importorskip("ray", reason="ray is not installed")

from balenas_core.errors import BalenasError
from balenas_core.execution import in_order, open_workers
from balenas_executor_ray import RayExecutor, RayOptions

cloudpickle.register_pickle_by_value(sys.modules[__name__])
# Ray's own code, in this process
pytestmark = pytest.mark.filterwarnings("ignore")


def slow_square(n):
    import ray

    if n < 0:
        raise ValueError(f"{n} is negative")
    time.sleep(0.3)
    return n * n, ray.get_runtime_context().get_node_id(), os.getpid()


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes on loopback, with a worker each, and one without any for the driver."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    common = {"include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **common})
    nodes = [cluster.add_node(num_cpus=1, **common) for _ in range(2)]
    yield cluster, nodes
    cluster.shutdown()


@pytest.mark.slow
def test_a_node_that_is_killed_in_the_middle_loses_nothing(cluster):
    of, nodes = cluster
    executor = RayExecutor(RayOptions(address=of.address, timeout=60))
    try:
        executor.check()
        with open_workers(executor, slow_square) as workers:
            assert workers.count == 2
            found = []
            for outcome in in_order(workers, [1, 2, -3, *range(4, 16)], executor.options):
                found.append(outcome)
                if len(found) == 4:
                    of.remove_node(nodes[1], allow_graceful=False)
    finally:
        executor.close()
    assert [o.value and o.value[0] for o in found] == [1, 4, None, *(n * n for n in range(4, 16))]
    assert str(found[2].error) == "-3 is negative"
    assert len({o.value[1] for o in found if o.value}) == 2


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "here"])
def test_a_cluster_that_does_not_answer_is_named(address):
    executor = RayExecutor(RayOptions(address=address, timeout=1))
    with pytest.raises(BalenasError, match=f"no Ray cluster answers at {address} "):
        executor.check()
