"""What is found out before the first step."""

import numpy as np
import pytest

from balenas_core import Search
from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.events import SearchStarted
from balenas_core.testing import ToySpace, toy_config, toy_plugin, toy_registry


class _Damaged(Benchmark):
    name, datasets, metrics = "damaged", ("good", "bad"), ("accuracy",)

    def values(self, dataset, metric, seed=None):
        if dataset == "bad":
            raise DataError("results.npz is damaged; import it again.")
        return np.arange(9.0)

    def index(self, architecture):
        return 0


class _Space(ToySpace):
    def benchmark(self):
        return _Damaged()


def test_a_damaged_benchmark_is_reported_before_the_search(tmp_path):
    registry = toy_registry()
    registry.add("measured", toy_plugin("space", _Space))
    config = toy_config(registry, space="measured", output=tmp_path / "run")
    events = []
    with pytest.raises(DataError, match="is damaged; import it again"):
        Search(config, registry=registry, listeners=[events.append]).run()
    assert not any(isinstance(event, SearchStarted) for event in events)
    assert not (tmp_path / "run").exists()
