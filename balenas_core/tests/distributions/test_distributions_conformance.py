"""The core's own distributions pass the kit that it offers to others."""

from typing import ClassVar

from balenas_core.testing import DistributionConformance


class TestDirichlet(DistributionConformance):
    plugin_name = "dirichlet"


class TestGaussian(DistributionConformance):
    plugin_name = "gaussian"


class TestGumbelSoftmax(DistributionConformance):
    plugin_name = "gumbel_softmax"


class TestHardGumbelSoftmax(DistributionConformance):
    plugin_name = "gumbel_softmax"
    options: ClassVar = {"hard": True}


class TestPoint(DistributionConformance):
    plugin_name = "point"
