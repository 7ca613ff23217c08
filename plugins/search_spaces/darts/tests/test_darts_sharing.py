"""The supernet that shares work equals the one that computes each operation by itself."""

import pytest
from textbook_darts import supernet_forward

from balenas_core.interfaces.space import Task
from balenas_core.testing import (
    assert_compiled_cells,
    assert_computes_only_the_chosen,
    assert_learns_in_bfloat16,
    assert_recomputed_cells,
    assert_textbook_curvature,
    assert_textbook_supernet,
    assert_transforms,
)
from balenas_space_darts import DartsOptions, DartsSpace


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"cells": 3},
        {"operations": "s1", "cells": 3},
        {"cells": 3, "edge_normalization": True},
        {"operations": "s1", "cells": 3, "edge_normalization": True},
        {"operations": ("none", "dil_conv_3x3", "dil_conv_5x5"), "cells": 3},
    ],
)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6)])
def test_outputs_gradients_and_running_statistics_are_the_textbooks(options, shape, is_training):
    space = DartsSpace(DartsOptions(channels=3, **options))
    assert_textbook_supernet(space, supernet_forward, Task(shape, 4), is_training=is_training)


def test_second_derivatives_in_the_architecture_are_the_textbooks():
    space = DartsSpace(DartsOptions(channels=2))
    assert_textbook_curvature(space, supernet_forward, Task((1, 8, 8), 3))


def test_only_the_chosen_operations_are_computed_at_one_hot_weights():
    assert_computes_only_the_chosen(DartsSpace(DartsOptions(channels=2)), Task((1, 8, 8), 3))


def test_transforms_of_torch_go_through_the_supernet():
    assert_transforms(DartsSpace(DartsOptions(channels=2, cells=3)), Task((1, 8, 8), 3))


def test_cells_computed_again_change_no_bit():
    assert_recomputed_cells(DartsSpace(DartsOptions(channels=4, cells=3)), Task((3, 8, 8), 4))


def test_weights_and_architecture_learn_in_bfloat16():
    assert_learns_in_bfloat16(DartsSpace(DartsOptions(channels=4, cells=3)), Task((3, 8, 8), 4))


@pytest.mark.slow
def test_compiled_cells_give_the_same_numbers():
    assert_compiled_cells(DartsSpace(DartsOptions(channels=4, cells=3)), Task((3, 8, 8), 4))
