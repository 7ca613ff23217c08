"""What the standard spaces recommend is installed with them, and can choose."""

import math

import pytest

from balenas_core import Search, SearchConfig
from balenas_core.plugins.registry import default_registry

SPACES = [ref.name for ref in default_registry().refs("space")]
SMALL = {
    "darts": {"channels": 2, "cells": 3},
    "nb1shot1": {"channels": 4, "cells": 3},
    "nb201": {"channels": 2, "proxy_cells_per_stage": 2},
    "timm_stages": {},
}


TRAINED = {"draws": 3, "refine": {"trainings": 3, "epochs": 1}}
SELECTORS = {"nb201": TRAINED, "nb1shot1": TRAINED}


def config(name, **changes):
    return SearchConfig(
        space={"name": name, **SMALL.get(name, {})},
        optimizer={"name": "random"},
        selector={"name": "auto", "draws": 3, **SELECTORS.get(name, {})},
        data="digits",
        check_epochs=0,
        **changes,
    )


@pytest.mark.parametrize("name", SPACES)
def test_every_space_recommends_a_selector_that_ranks_by_several_scores(name):
    result = Search(config(name)).run()
    scores = [candidate.scores for candidate in result.selection.candidates]
    assert len(scores) >= 3
    assert all(len(one) >= 2 for one in scores)
    for proxy in scores[0]:
        assert any(math.isfinite(one.get(proxy, math.nan)) for one in scores), proxy
