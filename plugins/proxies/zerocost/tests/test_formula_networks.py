import importlib.util

import pytest
import torch
from torch import nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.scores import ScoringJob
from balenas_core.scores.formula import fill_by_formula, formula_batch, formula_numbers
from balenas_proxy_zerocost._fisher import Fisher
from balenas_proxy_zerocost._gradients import GradNorm, Snip
from balenas_proxy_zerocost._jacobian import Jacov

TEXTS = [
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|",
    "|none~0|+|nor_conv_3x3~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|",
    "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|",
]


def _hash_by_python_integers(i, label):
    z = (i * 0x9E3779B1 + label * 0x85EBCA6B + 0x12345678) % 2**32
    z ^= z >> 16
    z = z * 0x7FEB352D % 2**32
    z ^= z >> 15
    z = z * 0x846CA68B % 2**32
    z ^= z >> 16
    return (z + 0.5) / 2**32


@pytest.mark.parametrize("label", [1, 103, 9001, 20001])
def test_the_numbers_are_those_of_the_formula_in_whole_numbers(label):
    numbers = formula_numbers((7, 11), label)
    expected = [_hash_by_python_integers(i, label) for i in range(77)]
    assert numbers.flatten().tolist() == expected


def test_weights_biases_and_normalisations_are_filled_as_described():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 5))
    network.double()
    nn.init.constant_(network[1].weight, 5.0)
    network[1].running_mean.fill_(3.0)
    fill_by_formula(network, {"0.weight": 1, "0.bias": 2, "3.weight": 9000, "3.bias": 9001})
    u = _hash_by_python_integers(28, 1)
    assert float(network[0].weight.detach().flatten()[28]) == (2 * u - 1) * (6 / 27) ** 0.5
    u = _hash_by_python_integers(4, 9001)
    assert float(network[3].bias.detach()[4]) == (2 * u - 1) * 0.1
    assert torch.equal(network[1].weight.detach(), torch.ones(2, dtype=torch.float64))
    assert torch.equal(network[1].running_mean, torch.zeros(2, dtype=torch.float64))


def test_a_parameter_without_a_label_is_named():
    with pytest.raises(UsageError, match="no formula label for parameter 'bias'"):
        fill_by_formula(nn.Linear(2, 2), {"weight": 1})


def test_without_labels_parameters_are_numbered_in_order():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    fill_by_formula(one)
    fill_by_formula(two, {"weight": 1, "bias": 2})
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)


def test_batches_have_labels_in_turn_and_differ_by_index():
    batch = formula_batch(5, (3, 4, 4), 3)
    assert batch.labels.tolist() == [0, 1, 2, 0, 1]
    u = _hash_by_python_integers(50, 20000)
    assert float(batch.images.flatten()[50]) == (2 * u - 1) * 3**0.5
    assert not torch.equal(batch.images, formula_batch(5, (3, 4, 4), 3, index=1).images)


@pytest.mark.skipif(
    importlib.util.find_spec("balenas_space_nb201") is None, reason="needs balenas-space-nb201"
)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("cells", [1, 2])
def test_the_nb201_space_builds_the_textbook_network(textbook, formula_images, text, cells):
    plugin = default_registry().find("space", "nb201")
    options = plugin.load().options(channels=4, cells_per_stage=cells)
    space = plugin.load_implementation()(options)
    network = space.network(space.parse(text), Task((3, 32, 32), 10)).double()
    fill_by_formula(network, space.formula_labels(network))
    expected = textbook(text, cells=cells)
    images = formula_images().images
    torch.testing.assert_close(network(images), expected(images), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(
    importlib.util.find_spec("balenas_space_nb201") is None, reason="needs balenas-space-nb201"
)
def test_scores_by_formula_are_the_textbooks_in_single_precision_too(textbook, formula_images):
    proxies = {"snip": Snip(), "grad_norm": GradNorm(), "fisher": Fisher(), "jacov": Jacov()}
    plugin = default_registry().find("space", "nb201").load()
    space = plugin.load_implementation()(plugin.options(channels=8, cells_per_stage=1))
    batch = formula_images(size=32)
    batch = Batch(batch.images.float(), batch.labels)
    text = (
        "|nor_conv_1x1~0|"
        + "+|nor_conv_1x1~0|nor_conv_1x1~1|"
        + "+|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_1x1~2|"
    )
    job = ScoringJob(
        space, Task((3, 32, 32), 10), proxies, batch, init="formula", dtype=torch.float32
    )
    ((found, errors),) = job.scores([space.parse(text)])
    network = textbook(text, torch.float32, channels=8)
    expected = {name: proxy.score(network, batch) for name, proxy in proxies.items()}
    assert not errors
    assert found == pytest.approx(expected, rel=2e-6)
