"""Conformance kit: what every plugin should pass, first-party and third-party alike.

Subclass one class per plugin in a test module and give its name; pytest does the rest::

    from balenas_core.testing import SearchSpaceConformance


    class TestDarts(SearchSpaceConformance):
        plugin_name = "darts"

``options`` (a mapping, as in a configuration file) makes a plugin small enough for a test.
"""

# ruff: noqa: E402 (pytest is told before the modules with assertions are imported)
from pathlib import Path

from balenas_core.testing._rewriting import rewrite_assertions as rewrite_assertions

rewrite_assertions(__name__, Path(__file__).parent)

from balenas_core.testing._dataset import DatasetConformance as DatasetConformance
from balenas_core.testing._distribution import DistributionConformance as DistributionConformance
from balenas_core.testing._executor import ExecutorConformance as ExecutorConformance
from balenas_core.testing._hook import HookConformance as HookConformance
from balenas_core.testing._kills import (
    CallCounter as CallCounter,
    killed_at_random as killed_at_random,
    run_forked as run_forked,
)
from balenas_core.testing._optimizer import OptimizerConformance as OptimizerConformance
from balenas_core.testing._plugin import PluginConformance as PluginConformance
from balenas_core.testing._preset import PresetConformance as PresetConformance
from balenas_core.testing._proxy import ProxyConformance as ProxyConformance
from balenas_core.testing._selector import SelectorConformance as SelectorConformance
from balenas_core.testing._settings import SettingsConformance as SettingsConformance
from balenas_core.testing._space import SearchSpaceConformance as SearchSpaceConformance
from balenas_core.testing._textbook import (
    assert_compiled_cells as assert_compiled_cells,
    assert_computes_only_the_chosen as assert_computes_only_the_chosen,
    assert_learns_in_bfloat16 as assert_learns_in_bfloat16,
    assert_recomputed_cells as assert_recomputed_cells,
    assert_textbook_curvature as assert_textbook_curvature,
    assert_textbook_supernet as assert_textbook_supernet,
    assert_transforms as assert_transforms,
)
from balenas_core.testing._toy import (
    ToyArchitecture as ToyArchitecture,
    ToyObjective as ToyObjective,
    ToySpace as ToySpace,
    toy_context as toy_context,
)
from balenas_core.testing._toy_search import (
    ToyImages as ToyImages,
    ToyOptimizer as ToyOptimizer,
    toy_config as toy_config,
    toy_data as toy_data,
    toy_plugin as toy_plugin,
    toy_registry as toy_registry,
)
from balenas_core.testing._tracker import TrackerConformance as TrackerConformance
