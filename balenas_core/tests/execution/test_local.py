"""The executor that works in this process."""

from balenas_core.testing import ExecutorConformance


class TestLocal(ExecutorConformance):
    plugin_name = "local"
