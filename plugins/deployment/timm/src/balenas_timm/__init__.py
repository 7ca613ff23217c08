"""Found networks as timm models: training with timm's parts, and export.

Importing this package registers the networks of every installed search space:
``timm.create_model("balenas_darts", genotype="DARTS_V2", num_classes=10)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_timm._blueprint import (
    Blueprint as Blueprint,
    Normalized as Normalized,
    known_of as known_of,
)
from balenas_timm._create import full_sized as full_sized
from balenas_timm._entrypoints import (
    model_name as model_name,
    register_spaces as register_spaces,
)
from balenas_timm._load import load as load
from balenas_timm._model import (
    FoundClassifier as FoundClassifier,
    FoundNetwork as FoundNetwork,
)
from balenas_timm._weights import (
    load_network as load_network,
    read_blueprint as read_blueprint,
    read_weights as read_weights,
    save_weights as save_weights,
)

if TYPE_CHECKING:
    from balenas_timm.training import (
        Training as Training,
        TrainingJob as TrainingJob,
        TrainingRecipe as TrainingRecipe,
        TrainingResult as TrainingResult,
        train as train,
        training_job as training_job,
    )

_TRAINING = frozenset(
    {"Training", "TrainingJob", "TrainingRecipe", "TrainingResult", "train", "training_job"}
)

register_spaces()


def __getattr__(name: str) -> Any:
    # Training needs much of timm that models do without.
    if name in _TRAINING:
        return getattr(importlib.import_module(f"{__name__}.training"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
