"""Every preset of this distribution passes the kit, with any space."""

from importlib import metadata

import pytest

from balenas_core.plugins.plugin import GROUPS
from balenas_core.testing import PresetConformance

NAMES = sorted(
    entry.name
    for entry in metadata.distribution("balenas-optimizer-baselines").entry_points
    if entry.group == GROUPS["preset"]
)


@pytest.fixture(params=NAMES, autouse=True, scope="class")
def _preset(request):
    request.cls.plugin_name = request.param


class TestPresets(PresetConformance):
    plugin_name = "darts"
