"""Networks in stages, on a chain of two blocks."""

import pytest
import torch
from torch import nn

from balenas_core.nn import StagedNetwork
from balenas_core.random import generator, seeded


class Chain(StagedNetwork):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2)])
        self.classifier = nn.Linear(6, 5)

    @property
    def stages(self):
        return (("stem",), ("blocks.0",), ("blocks.1",))

    @property
    def classifier_name(self):
        return "classifier"

    def forward_blocks(self, x):
        return self.run_in_order(x)

    def last_features(self, x):
        return x.relu()


@pytest.fixture
def network():
    with seeded(0):
        return Chain()


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=generator(0))


def test_the_logits_are_those_of_stem_blocks_average_and_classifier(network, images):
    features = network.blocks[1](network.blocks[0](network.stem(images))).relu()
    expected = features.mean((2, 3)) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(images), expected)


def test_blocks_after_the_last_wanted_are_not_computed(network, images):
    network.blocks[1].register_forward_hook(lambda *_: pytest.fail("was computed"))
    blocks = network.forward_blocks(images)
    assert [next(blocks).shape[1] for _ in range(2)] == [4, 4]


def test_checkpointed_blocks_give_the_same_gradients(network, images):
    def gradients():
        network.zero_grad()
        network(images).square().sum().backward()
        return [p.grad.clone() for p in network.parameters()]

    plain = gradients()
    ran = []
    network.blocks[0].register_forward_pre_hook(lambda *_: ran.append(1))
    network.is_checkpointed = True
    torch.testing.assert_close(gradients(), plain)
    assert len(ran) == 2


def test_dropout_is_applied_to_the_average_in_training_only(network, images):
    network.dropout = 0.999
    with seeded(0):
        torch.testing.assert_close(network.train()(images), network.classifier.bias.expand(2, 5))
    expected = network.eval()(images)
    network.dropout = 0.0
    assert torch.equal(network.train()(images), expected)
