import pytest

from balenas_core.testing import SearchSpaceConformance


class TestNB201(SearchSpaceConformance):
    plugin_name = "nb201"
    options = {"channels": 2}  # noqa: RUF012


@pytest.mark.slow
class TestNB201WithRunningStatistics(SearchSpaceConformance):
    plugin_name = "nb201"
    options = {"channels": 2, "batch_norm": "running", "affine": True}  # noqa: RUF012
