from balenas_core.interfaces.space import Task
from balenas_core.testing import SearchSpaceConformance


class TestTimmStages(SearchSpaceConformance):
    plugin_name = "timm_stages"
    options = {  # noqa: RUF012
        "widths": [4, 8],
        "strides": [1, 2],
        "layers": 2,
        "expansions": [2, 3],
        "stem_channels": 4,
        "head_channels": 16,
    }


class TestTimmStagesOnDigits(SearchSpaceConformance):
    plugin_name = "timm_stages"
    task = Task((1, 8, 8), 10)
    options = {  # noqa: RUF012
        "widths": [4, 8],
        "strides": [2, 1],
        "layers": 2,
        "kernels": [3],
        "activation": "hard_swish",
        "stem_channels": 4,
    }
