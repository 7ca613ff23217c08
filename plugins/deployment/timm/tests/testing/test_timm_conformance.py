"""Every recipe and every format of this distribution passes the kit."""

from importlib import metadata

import pytest

from balenas_core.plugins.plugin import GROUPS
from balenas_timm.testing import FormatConformance, RecipeConformance


def names(kind):
    found = metadata.distribution("balenas-timm").entry_points
    return sorted(entry.name for entry in found if entry.group == GROUPS[kind])


@pytest.fixture(params=names("recipe"), scope="class")
def recipe(request):
    request.cls.plugin_name = request.param


GRAPHS = ("onnx", "torch-export")
"""Each network takes them seconds."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in GRAPHS else [])
        for name in names("format")
    ],
    scope="class",
)
def format(request):
    request.cls.plugin_name = request.param


@pytest.mark.usefixtures("recipe")
class TestRecipes(RecipeConformance):
    plugin_name = "quick"


@pytest.mark.usefixtures("format")
class TestFormats(FormatConformance):
    plugin_name = "onnx"
