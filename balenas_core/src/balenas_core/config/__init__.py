"""Typed configuration of a search, and how files, flags and presets become one.

What a plugin's own options are is that plugin's; nothing here imports torch.
"""

from balenas_core.config._checkpoint import CheckpointConfig as CheckpointConfig
from balenas_core.config._document import DocumentError as DocumentError
from balenas_core.config._dump import plugins_of as plugins_of, to_yaml as to_yaml
from balenas_core.config._expression import (
    parse_selector as parse_selector,
    parse_stages as parse_stages,
)
from balenas_core.config._load import load_config as load_config, load_settings as load_settings
from balenas_core.config._model import (
    DEFAULT_DATASET as DEFAULT_DATASET,
    DEFAULT_EXECUTOR as DEFAULT_EXECUTOR,
    MOST_THREADS as MOST_THREADS,
    DeviceName as DeviceName,
    OutputPath as OutputPath,
    SearchConfig as SearchConfig,
    Seed as Seed,
    Threads as Threads,
    TrainingConfig as TrainingConfig,
)
from balenas_core.config._modifiers import (
    CurvatureConfig as CurvatureConfig,
    EarlyStoppingConfig as EarlyStoppingConfig,
    InformedPriorConfig as InformedPriorConfig,
    ModifiersConfig as ModifiersConfig,
    PerturbationConfig as PerturbationConfig,
)
from balenas_core.config._plugins import PluginsConfig as PluginsConfig
from balenas_core.config._processes import ProcessesConfig as ProcessesConfig
from balenas_core.config._proxies import resolve_proxies as resolve_proxies
from balenas_core.config._ranking import RankingOptions as RankingOptions
from balenas_core.config._read import read_document as read_document
from balenas_core.config._schema import json_schema as json_schema
from balenas_core.config._sections import (
    PluginSection as PluginSection,
    section_validator as section_validator,
)
from balenas_core.config._selector import resolve_selector as resolve_selector
from balenas_core.config._stages import StagedOptions as StagedOptions
from balenas_core.config._template import (
    example_settings_problem as example_settings_problem,
    example_yaml as example_yaml,
)
from balenas_core.config._yaml import dump_yaml as dump_yaml, parse_yaml as parse_yaml
