"""Found networks as timm models: training with timm's parts, and export.

Importing this package registers the networks of every installed search space:
``timm.create_model("balenas_darts", genotype="DARTS_V2", num_classes=10)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_timm.models import (
    FoundClassifier as FoundClassifier,
    FoundNetwork as FoundNetwork,
    full_sized as full_sized,
    load as load,
    model_name as model_name,
    register_spaces as register_spaces,
)
from balenas_timm.weights import (
    Blueprint as Blueprint,
    Normalized as Normalized,
    known_of as known_of,
    load_network as load_network,
    read_blueprint as read_blueprint,
    read_weights as read_weights,
    save_weights as save_weights,
)

if TYPE_CHECKING:
    from balenas_timm.export import Format as Format
    from balenas_timm.recipes import (
        TrainingJob as TrainingJob,
        TrainingRecipe as TrainingRecipe,
        training_job as training_job,
    )
    from balenas_timm.training import (
        Training as Training,
        TrainingResult as TrainingResult,
        train as train,
    )

_ROOM_OF = {
    "Format": "export",
    **dict.fromkeys(("TrainingJob", "TrainingRecipe", "training_job"), "recipes"),
    **dict.fromkeys(("Training", "TrainingResult", "train"), "training"),
}

register_spaces()


def __getattr__(name: str) -> Any:
    # Training and export need much that models do without.
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
