"""The labels by which networks are filled, to compare implementations number for number."""

import pytest

from balenas_core.interfaces.space import Task
from balenas_space_nb201 import NB201Options, NB201Space

ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+" + "".join(
    ("|nor_conv_3x3~0", "|nor_conv_3x3~1", "|nor_conv_3x3~2|")
)


@pytest.fixture(scope="module")
def space():
    return NB201Space(NB201Options(channels=4, cells_per_stage=2))


def test_every_weight_has_a_label_of_its_own(space):
    network = space.network(space.parse(ALL_3X3), Task((3, 32, 32), 10))
    labels = space.formula_labels(network)
    convolutions = [n for n, p in network.named_parameters() if p.dim() == 4]
    assert set(labels) == {*convolutions, "skeleton.classifier.weight", "skeleton.classifier.bias"}
    assert len(set(labels.values())) == len(labels)
    # Stem; 3 stages x 2 cells x 6 edges; 2 reductions x 3; classifier and its bias.
    assert len(labels) == 1 + 36 + 6 + 2
    cells = {100 + 1000 * s + 10 * n + e for s in range(3) for n in range(2) for e in range(6)}
    reductions = {5000, 5001, 5002, 5010, 5011, 5012}
    assert set(labels.values()) == {1, 9000, 9001, *cells, *reductions}


def test_the_space_counts_its_architectures_out(space):
    texts = [str(architecture) for architecture in space.architectures()]
    assert len(set(texts)) == len(texts) == 15_625
