"""Found networks as timm models: training with timm's parts, and export.

Importing this package registers the networks of every installed search space:
``timm.create_model("balenas_darts", genotype="DARTS_V2", num_classes=10)``.
"""

from balenas_timm._blueprint import (
    Blueprint as Blueprint,
    Normalized as Normalized,
    known_of as known_of,
)
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

register_spaces()
