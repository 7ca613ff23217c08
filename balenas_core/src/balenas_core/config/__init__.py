"""Typed configuration of a search. Imports no torch."""

from balenas_core.config._checkpoint import CheckpointConfig as CheckpointConfig
from balenas_core.config._dump import to_yaml as to_yaml
from balenas_core.config._load import load_config as load_config
from balenas_core.config._model import (
    SearchConfig as SearchConfig,
    TrainingConfig as TrainingConfig,
)
from balenas_core.config._modifiers import (
    CurvatureConfig as CurvatureConfig,
    EarlyStoppingConfig as EarlyStoppingConfig,
    ModifiersConfig as ModifiersConfig,
    PerturbationConfig as PerturbationConfig,
)
from balenas_core.config._schema import json_schema as json_schema
from balenas_core.config._sections import PluginSection as PluginSection
from balenas_core.config._selector import (
    RankingOptions as RankingOptions,
    parse_selector as parse_selector,
    parse_stages as parse_stages,
    resolve_selector as resolve_selector,
)
from balenas_core.config._stages import StagedOptions as StagedOptions
from balenas_core.config._template import example_yaml as example_yaml
