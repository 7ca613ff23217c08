"""Networks of search spaces as models of timm: created by name, or loaded from a file.

What a search space builds is wrapped here, not changed; formats of other programs are in
``export``.
"""

from balenas_timm.models._create import full_sized as full_sized
from balenas_timm.models._entrypoints import (
    model_name as model_name,
    register_spaces as register_spaces,
)
from balenas_timm.models._load import (
    load as load,
    model_args as model_args,
    pretrained_cfg as pretrained_cfg,
)
from balenas_timm.models._model import (
    FoundClassifier as FoundClassifier,
    FoundNetwork as FoundNetwork,
)
