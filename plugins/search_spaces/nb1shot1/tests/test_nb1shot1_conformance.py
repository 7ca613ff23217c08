import pytest

from balenas_core.testing import SearchSpaceConformance


class TestS1(SearchSpaceConformance):
    plugin_name = "nb1shot1"
    options = {"channels": 2}  # noqa: RUF012


@pytest.mark.slow
class TestS2(SearchSpaceConformance):
    plugin_name = "nb1shot1"
    options = {"channels": 4, "space": "s2"}  # noqa: RUF012


@pytest.mark.slow
class TestS3(SearchSpaceConformance):
    plugin_name = "nb1shot1"
    # Divided evenly among up to three inputs: of other numbers, the first nodes have more.
    options = {"channels": 6, "space": "s3"}  # noqa: RUF012
