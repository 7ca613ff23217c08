"""Holds the plugin against balenas's conformance kit."""

from balenas_core.testing import OptimizerConformance


class TestMirrorDescent(OptimizerConformance):
    plugin_name = "mirror_descent"
