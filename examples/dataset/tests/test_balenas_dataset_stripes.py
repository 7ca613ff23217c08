"""Holds the plugin against balenas's conformance kit."""

from balenas_core.testing import DatasetConformance


class TestStripes(DatasetConformance):
    plugin_name = "stripes"
