"""NASWOT of a cell against what the authors' hooks give on the benchmark's own network."""

import pytest
import torch

from balenas_core.interfaces.space import Task
from balenas_core.nn import memory_as_given
from balenas_core.scores.formula import fill_by_formula, formula_batch
from balenas_proxy_naswot import naswot
from balenas_space_nb201 import NB201Options, NB201Space


@pytest.mark.parametrize(("layers", "expected"), [("relu", 83.5077), ("name", 88.9786)])
def test_all_3x3_cell_has_the_published_codes_score(layers, expected):
    space = NB201Space(NB201Options(channels=4, cells_per_stage=1))
    cell = "+".join(
        "|" + "".join(f"nor_conv_3x3~{source}|" for source in range(node)) for node in (1, 2, 3)
    )
    shape = (3, 32, 32)
    network = space.network(space.parse(cell), Task(shape, 10)).to(torch.float64)
    fill_by_formula(network, space.formula_labels(network))
    with memory_as_given():
        score = naswot(network, formula_batch(8, shape, 10), layers=layers)
    assert score == pytest.approx(expected, abs=5e-5)
