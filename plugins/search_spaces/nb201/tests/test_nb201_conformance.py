import pytest

from balenas_core.testing import SearchSpaceConformance


class TestNB201(SearchSpaceConformance):
    plugin_name = "nb201"
    options = {"channels": 2}  # noqa: RUF012


@pytest.mark.slow
class TestNB201WithPartialChannelsAndRunningStatistics(SearchSpaceConformance):
    plugin_name = "nb201"
    options = {  # noqa: RUF012
        "channels": 4,
        "batch_norm": "running",
        "affine": True,
        "partial_channels": 4,
        "edge_normalization": True,
    }
