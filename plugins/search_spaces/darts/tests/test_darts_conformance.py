import pytest

from balenas_core.testing import SearchSpaceConformance


class TestDarts(SearchSpaceConformance):
    plugin_name = "darts"
    options = {"channels": 2, "cells": 3}  # noqa: RUF012


@pytest.mark.slow
class TestDartsWithTwoOperationsAnEdge(SearchSpaceConformance):
    plugin_name = "darts"
    options = {"channels": 2, "cells": 3, "operations": "s1"}  # noqa: RUF012


@pytest.mark.slow
class TestDartsWithPartialChannels(SearchSpaceConformance):
    plugin_name = "darts"
    options = {  # noqa: RUF012
        "channels": 4,
        "cells": 3,
        "operations": ["skip_connect", "sep_conv_3x3"],
        "partial_channels": 4,
        "edge_normalization": True,
    }
