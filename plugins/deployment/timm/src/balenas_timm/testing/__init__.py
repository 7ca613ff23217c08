"""Conformance kit for recipes and formats; ``balenas_core.testing`` has that of every other kind.

Subclass one class per plugin in a test module and give its name; pytest does the rest::

    from balenas_timm.testing import FormatConformance


    class TestMine(FormatConformance):
        plugin_name = "mine"
"""

# ruff: noqa: E402 (pytest is told before the modules with assertions are imported)
from pathlib import Path

from balenas_core.testing import rewrite_assertions

rewrite_assertions(__name__, Path(__file__).parent)

from balenas_timm.testing._format import FormatConformance as FormatConformance
from balenas_timm.testing._recipe import RecipeConformance as RecipeConformance
