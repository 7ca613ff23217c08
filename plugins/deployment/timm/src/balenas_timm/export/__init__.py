"""Found networks as files that other programs read: ONNX, torch.export, safetensors, timm.

Where a network comes from, how each format is written, and whether what was written is right.
Nothing is trained here.
"""

from balenas_core.interfaces.format import Format as Format, Network as Network
from balenas_timm.export._export import Exported as Exported, export as export
from balenas_timm.export._source import (
    Source as Source,
    from_architecture as from_architecture,
    from_file as from_file,
    from_run as from_run,
)
from balenas_timm.export._verify import VerificationError as VerificationError
