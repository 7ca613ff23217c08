"""Holds the plugin against balenas's conformance kit."""

from balenas_core.testing import ProxyConformance


class TestAliveLayers(ProxyConformance):
    plugin_name = "alive_layers"
