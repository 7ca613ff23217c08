"""The core's own selectors pass the kit that it offers to others."""

from balenas_core.testing import SelectorConformance


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
