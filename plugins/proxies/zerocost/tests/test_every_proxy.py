"""What holds for each proxy of the package: no trace, no chance, no NaN, no surprise by type."""

import math
import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import pytest
import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.plugins.plugin import Plugin
from balenas_core.scores.network_pass import PassProxy, score_many

NAMES = sorted(e.name for e in entry_points(group="balenas.proxies") if "zerocost" in e.value)
OPTIONS = {"linear_regions": {"samples": 20, "size": 8}, "meco": {"size": 16}}

# Relative difference between float32 and float64 that the formulas allow; 0 for counts.
TOLERANCES = {
    "az_expressivity": 1e-4,
    "az_progressivity": 1e-3,
    "az_trainability": 1e-4,
    "epe_nas": 1e-4,
    "feature_correlation": 1e-4,
    "fisher": 5e-4,
    "grad_norm": 1e-4,
    "grasp": 1.2e-3,
    "jacov": 2e-6,
    "l2_norm": 1e-6,
    "logsynflow": 1e-6,
    "meco": 1e-4,
    "ntk": 1e-3,
    "plain": 5e-4,
    "snip": 1e-4,
    "zen": 1e-4,
    "zico": 2.5e-2,
}

NORMAL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
CELLS = {
    "normal": NORMAL,
    "all none": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "all skip": "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
    "+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "disconnected": "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|",
    "dead branch": "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
}


def _plugin(name):
    (entry,) = entry_points(group="balenas.proxies", name=name)
    return entry.load()


def _proxy(name):
    plugin = _plugin(name)
    options = None if plugin.options is None else plugin.options(**OPTIONS.get(name, {}))
    return plugin.load_implementation()(options)


def _as(batch, dtype):
    return Batch(batch.images.to(dtype), batch.labels)


def test_the_package_has_all_its_proxies():
    components = {"az_expressivity", "az_progressivity", "az_trainability"}
    gradients = {"fisher", "grad_norm", "grasp", "plain", "snip", "zico", "jacov", "epe_nas", "ntk"}
    forward = {"feature_correlation", "linear_regions", "logsynflow", "meco", "swap", "zen"}
    assert set(NAMES) == components | gradients | forward | {"flops", "l2_norm", "params"}


@pytest.mark.parametrize("name", NAMES)
def test_the_plugin_is_a_proxy_that_needs_no_torch_to_be_listed(name):
    plugin = _plugin(name)
    assert isinstance(plugin, Plugin)
    assert plugin.kind == "proxy"
    assert isinstance(_proxy(name), Proxy)


def test_listing_imports_no_torch():
    code = "import sys, balenas_proxy_zerocost.plugins; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_it_leaves_no_trace_and_scores_the_same_twice_and_never_nan(
    textbook, formula_images, name, cell
):
    dtype = torch.float32
    network, batch = textbook(CELLS[cell], dtype).eval(), _as(formula_images(pixels=8), dtype)
    network.stem.train()
    network.head.weight.requires_grad_(False)
    network.head.bias.grad = grad = torch.ones(10, dtype=dtype)
    network.stem[0].register_forward_hook(lambda *_: None)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    images, seen = batch.images.clone(), _view(network)
    proxy = _proxy(name)
    torch.manual_seed(3)
    first = proxy.score(network, batch)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after), "draws from the global generator"
    with torch.no_grad():
        assert proxy.score(network, batch) == first
    assert isinstance(first, float)
    assert first < math.inf
    assert not math.isnan(first)
    assert _view(network) == seen
    assert network.head.bias.grad is grad
    assert torch.equal(grad, torch.ones(10, dtype=dtype))
    assert torch.equal(batch.images, images)
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key


def _view(network):
    return [
        (
            module,
            module.training,
            sorted(vars(module)),
            [(id(p), p.requires_grad, p.dtype, p._version) for p in module.parameters(False)],
            [id(b) for b in module.buffers(False)],
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            len(module._backward_hooks),
        )
        for module in network.modules()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_no_trace_when_scoring_fails(textbook, formula_images, name):
    if name in ("l2_norm", "params"):
        pytest.skip("looks at the weights alone")
    network = textbook(NORMAL).eval()
    network.head = nn.Linear(3, 10).double()
    state, seen = {k: v.clone() for k, v in network.state_dict().items()}, _view(network)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        _proxy(name).score(network, formula_images(pixels=16))
    assert _view(network) == seen
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_float32_and_float64_agree(textbook, formula_images, name):
    batch = formula_images()
    score = _proxy(name).score(textbook(NORMAL, torch.float32), _as(batch, torch.float32))
    expected = _proxy(name).score(textbook(NORMAL), batch)
    assert math.isfinite(score)
    assert score == pytest.approx(expected, rel=TOLERANCES.get(name, 0), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_rank_last_or_do_not_matter(
    textbook, formula_images, name, value
):
    network = textbook(NORMAL)
    with torch.no_grad():
        network.stem[0].weight[0, 0] = value
    score = _proxy(name).score(network, formula_images(pixels=16))
    assert not math.isnan(score)
    assert score < math.inf
    if name in {"snip", "plain", "grad_norm", "fisher", "grasp", "jacov", "epe_nas", "l2_norm"}:
        assert score == -math.inf


LOWEST = {
    "az_expressivity": -math.inf,
    "az_progressivity": -math.inf,
    "az_trainability": -math.inf,
    "epe_nas": -math.inf,
    "feature_correlation": -math.inf,
    "grad_norm": 0.0,
    "grasp": -math.inf,
    "jacov": -math.inf,
    "logsynflow": 0.0,
    "ntk": -math.inf,
    "plain": -math.inf,
    "snip": 0.0,
    "zen": -math.inf,
    "zico": 0.0,
}


@pytest.mark.parametrize("name", LOWEST)
@pytest.mark.parametrize("cell", ["all none", "disconnected"])
def test_a_network_cut_off_from_its_input_gets_the_documented_lowest_score(
    textbook, formula_images, name, cell
):
    batch = formula_images(pixels=16)
    score = _proxy(name).score(textbook(CELLS[cell]), batch)
    assert score == LOWEST[name]
    assert score < _proxy(name).score(textbook(NORMAL), batch)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_zeros_without_a_graph_count_as_zeros_with_one(textbook, formula_images, name, cell):
    batch, network = formula_images(pixels=8), textbook(CELLS[cell])
    for block in network.body:
        block.keeps_graph = False
    expected = _proxy(name).score(textbook(CELLS[cell]), batch)
    assert _proxy(name).score(network, batch) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_without_weights_is_no_error(name):
    batch = Batch(torch.randn(4, 3, 8, 8), torch.arange(4))
    score = _proxy(name).score(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), batch)
    assert not math.isnan(score)
    assert score < math.inf


def test_scores_together_are_those_alone(textbook, formula_images):
    batch = formula_images(pixels=16)
    proxies = {name: _proxy(name) for name in NAMES}
    shared = [name for name, proxy in proxies.items() if isinstance(proxy, PassProxy)]
    assert shared == [
        *("epe_nas", "feature_correlation", "fisher", "grad_norm", "jacov", "plain", "snip")
    ]
    for cell in CELLS.values():
        network = textbook(cell)
        together = score_many(network, batch, proxies)
        alone = {name: proxy.score(network, batch) for name, proxy in proxies.items()}
        assert list(together) == NAMES
        assert together == alone


def test_a_network_that_works_in_place_gets_the_same_scores(formula_images):
    def build(inplace):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(
                nn.ReLU(inplace),
                nn.Conv2d(3, 4, 3),
                nn.ReLU(inplace),
                nn.Conv2d(4, 4, 3),
                nn.BatchNorm2d(4),
                nn.ReLU(inplace),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(4, 10),
            ).double()

    batch = formula_images(pixels=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            if name.startswith("az_"):
                continue  # its features are layers here, and one in place is the next
            assert _proxy(name).score(build(True), batch) == pytest.approx(
                _proxy(name).score(build(False), batch), rel=1e-12
            )
