"""The core's own selectors pass the kit that it offers to others."""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from balenas_core.config import PluginSection
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.space import Task
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.selectors import RankingSelector, StagedSelector
from balenas_core.testing import SelectorConformance, ToySpace


class TestArgmax(SelectorConformance):
    plugin_name = "argmax"


class TestRandom(SelectorConformance):
    plugin_name = "random"


class TestSupernet(SelectorConformance):
    plugin_name = "supernet"


class TestTrain(SelectorConformance):
    plugin_name = "train"


class TestPerturbation(SelectorConformance):
    plugin_name = "perturbation"


class TestRefine(SelectorConformance):
    plugin_name = "refine"
    options: ClassVar = {"draws": 8, "trainings": 8}


class _Scored(Benchmark):
    """More convolutions are better."""

    name = "toy"
    datasets = ("digits",)
    metrics = ("accuracy",)

    def __init__(self) -> None:
        self._texts = [str(architecture) for architecture in ToySpace().architectures()]

    def values(self, dataset, metric, seed=None):
        return np.array([80.0 + text.count("conv") for text in self._texts])

    def index(self, architecture):
        return self._texts.index(str(architecture))


class _WithBenchmark(ToySpace):
    def benchmark(self):
        return _Scored()


_TASK = Task((1, 4, 4), 3)


class TestBenchmark(SelectorConformance):
    plugin_name = "benchmark"

    def context(self, seed=0, task=_TASK):
        context = super().context(seed, task)
        return replace(context, space=_WithBenchmark())


class TestStages(SelectorConformance):
    """Several selectors one after the other, as ``random > supernet > train``."""

    plugin_name = "supernet"

    def build(self, **context):
        registry = self.registry()

        def stage(name, **options):
            section = PluginSection.resolve("selector", {"name": name, **options}, registry)
            return registry.find("selector", name).build(section.options)

        stages = {
            "random": stage("random"),
            "supernet": stage("supernet"),
            "train": stage("train", budget=12),
        }
        return StagedSelector(stages, [4, 2], PoolOptions(draws=12))


class _Largest(Proxy):
    needs_data = False

    def score(self, network, batch):
        return float(sum(p.numel() for p in network.parameters()))


class TestRankingByProxies(SelectorConformance):
    """What a proxy's name, or several, stand for where a selector is asked for."""

    plugin_name = "supernet"

    def build(self, **context):
        return RankingSelector({"largest": _Largest()}, PoolOptions(draws=12))
