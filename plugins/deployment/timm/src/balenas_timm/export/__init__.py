"""Found networks as files that other programs read: ONNX, torch.export, safetensors, timm."""

from balenas_timm._weights import WEIGHTS as WEIGHTS
from balenas_timm.export._export import Exported as Exported, export as export
from balenas_timm.export._formats import FORMATS as FORMATS
from balenas_timm.export._source import (
    Source as Source,
    from_architecture as from_architecture,
    from_file as from_file,
    from_run as from_run,
)
from balenas_timm.export._verify import VerificationError as VerificationError
