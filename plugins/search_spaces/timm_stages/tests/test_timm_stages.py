"""The space of timm's blocks against timm's own builder, and its options."""

import itertools
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from timm.layers import BatchNormAct2d
from timm.models._efficientnet_blocks import InvertedResidual, SqueezeExcite
from timm.models._efficientnet_builder import EfficientNetBuilder, decode_arch_def
from torch import nn
from torch.nn import functional

from balenas_core.errors import ArchitectureError, UsageError
from balenas_core.interfaces.space import Task
from balenas_core.random import generator, seeded
from balenas_core.scores.description import describe_network
from balenas_core.testing import (
    assert_compiled_cells,
    assert_computes_only_the_chosen,
    assert_learns_in_bfloat16,
    assert_recomputed_cells,
    assert_transforms,
)
from balenas_space_timm_stages import TimmStagesOptions, TimmStagesSpace

CIFAR = Task((3, 32, 32), 10)
DIGITS = Task((1, 8, 8), 10)
SMALL = TimmStagesOptions(widths=(8, 16), strides=(1, 2), layers=2, kernels=(3, 5))


def inverted_residual_parameters(channels_in, channels_out, kernel, expansion, *, has_se):
    """1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection, three norms."""
    inner = expansion * channels_in
    squeezed = round(inner / 4)
    excitation = (2 * inner * squeezed + squeezed + inner) * has_se
    convolutions = inner * (channels_in + kernel**2 + channels_out)
    return convolutions + 4 * inner + 2 * channels_out + excitation


@settings(max_examples=12, deadline=None)
@given(kernel=st.sampled_from([3, 5, 7]), expansion=st.sampled_from([3, 6]), has_se=st.booleans())
def test_a_block_has_the_parameters_of_its_closed_form(kernel, expansion, has_se):
    space = TimmStagesSpace(TimmStagesOptions())
    block = space.block(1, 0, f"k{kernel}e{expansion}{'+se' * has_se}")
    expected = inverted_residual_parameters(8, 16, kernel, expansion, has_se=has_se)
    assert sum(p.numel() for p in block.parameters()) == expected


def test_the_blocks_are_those_that_timm_builds_of_its_own_text_form():
    space = TimmStagesSpace(TimmStagesOptions())
    architecture = space.parse("k3e3|skip|k5e6+se/k7e3|k3e6+se|skip/k5e3+se|k5e3+se|k5e3")
    definition = [
        ["ir_r1_k3_s1_e3_c8", "ir_r1_k5_s1_e6_c8_se0.25"],
        ["ir_r1_k7_s2_e3_c16", "ir_r1_k3_s1_e6_c16_se0.25"],
        ["ir_r1_k5_s2_e3_c24_se0.25", "ir_r1_k5_s1_e3_c24_se0.25", "ir_r1_k5_s1_e3_c24"],
    ]
    builder = EfficientNetBuilder(
        se_from_exp=True,
        act_layer=nn.ReLU,
        norm_layer=nn.BatchNorm2d,
        se_layer=SqueezeExcite,
    )
    theirs = nn.Sequential(*builder(8, decode_arch_def(definition)))
    with seeded(0):
        network = space.network(architecture, CIFAR)
    ours = nn.Sequential(*network.blocks.values())
    tensors = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(tensors))
    x = torch.randn(2, 8, 16, 16, generator=generator(0))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_the_total_is_that_of_stem_blocks_and_head():
    space = TimmStagesSpace(SMALL)
    architecture = space.parse("k3e6|skip/k5e3+se|k3e3")
    stem = 8 * 3 * 9 + 16
    blocks = (
        inverted_residual_parameters(8, 8, 3, 6, has_se=False)
        + inverted_residual_parameters(8, 16, 5, 3, has_se=True)
        + inverted_residual_parameters(16, 16, 3, 3, has_se=False)
    )
    head = 16 * 64 + 2 * 64 + 64 * 10 + 10
    described = describe_network(space.network(architecture, CIFAR), CIFAR.input_shape)
    assert described.parameters == stem + blocks + head


def test_the_default_space_has_12_blocks_a_layer_and_may_leave_out_all_but_the_first():
    first, others = TimmStagesSpace(TimmStagesOptions()).decisions
    assert first.shape == (3, 12)
    assert others.shape == (6, 13)
    assert first.slots == ("1.1", "2.1", "3.1")
    assert set(others.choices) - set(first.choices) == {"skip"}


@pytest.mark.parametrize("task", [CIFAR, DIGITS], ids=["cifar", "digits"])
def test_the_defaults_train_on_small_images(task):
    space = TimmStagesSpace(TimmStagesOptions())
    with seeded(0):
        supernet = space.supernet(task)
    weights = {d.name: torch.full(d.shape, 1 / d.shape[1]) for d in space.decisions}
    x = torch.randn(4, *task.input_shape, generator=generator(0))
    loss = functional.cross_entropy(supernet(x, weights), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in supernet.parameters())


def test_one_hot_weights_run_only_the_chosen_blocks():
    space = TimmStagesSpace(SMALL)
    with seeded(0):
        supernet = space.supernet(CIFAR)
    ran = []
    for block in supernet.modules():
        if isinstance(block, InvertedResidual):
            block.register_forward_hook(lambda *_: ran.append(1))
    architecture = space.parse("k3e6|skip/k5e3+se|k3e3")
    supernet(torch.zeros(2, 3, 32, 32), space.one_hot(architecture))
    assert len(ran) == 3


def test_the_first_layer_of_a_stage_takes_its_stride_and_channels():
    space = TimmStagesSpace(SMALL)
    network = space.network(space.parse("k3e3|k5e3/k3e3|k5e3"), CIFAR)
    shapes = {
        layer.name: layer.output_shape
        for layer in describe_network(network, CIFAR.input_shape).layers
    }
    assert shapes["blocks.1_2.bn3.act"] == (8, 32, 32)
    assert shapes["blocks.2_1.bn3.act"] == (16, 16, 16)
    assert shapes["blocks.2_2.bn3.act"] == (16, 16, 16)


@pytest.mark.parametrize(("setting", "variants"), [("always", {"+se"}), ("never", {""})])
def test_squeeze_and_excitation_can_be_fixed(setting, variants):
    space = TimmStagesSpace(SMALL.model_copy(update={"squeeze_excite": setting}))
    expected = {f"k{k}e{e}{se}" for k, e, se in itertools.product((3, 5), (3, 6), variants)}
    assert set(space.decisions[0].choices) == expected


def test_the_activation_is_timms_of_that_name():
    space = TimmStagesSpace(SMALL.model_copy(update={"activation": "hard_swish"}))
    network = space.network(space.parse("k3e3|skip/k3e3|skip"), CIFAR)
    kinds = {type(m.act) for m in network.modules() if isinstance(m, BatchNormAct2d)}
    assert {kind.__name__ for kind in kinds} <= {"Hardswish", "HardSwish", "Identity"}
    assert len(kinds) == 2


def test_an_unknown_activation_is_refused():
    with pytest.raises(UsageError, match="timm has no activation 'rellu'"):
        TimmStagesSpace(TimmStagesOptions(activation="rellu"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8,), "strides": (1, 2)}, r"strides \(2\) and widths \(1\) must be as many"),
        ({"kernels": (3, 4)}, r"kernels must be odd \(got 4\)"),
        ({"kernels": (3, 3)}, r"kernels must be different \(got \[3, 3\]\)"),
        ({"layers": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_fit_no_network_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        TimmStagesOptions(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k3e3|skip", r"this space has 2 stages, written with '/' between them; got 1"),
        ("k3e3/k3e3|skip", r"stage 1 has 2 layers, written with '\|' between them; got 1"),
        ("k3e3|skip/skip|k3e3", r"unknown block 'skip' in layer 2.1. Known: k3e3, "),
        ("k3e3|skip/k3e3|k3e5", r"unknown block 'k3e5' in layer 2.2. Did you mean 'k3e"),
    ],
)
def test_texts_that_are_no_architecture_are_refused(text, message):
    with pytest.raises(ArchitectureError, match=message):
        TimmStagesSpace(SMALL).parse(text)


def test_the_supernet_normalises_by_the_batch_in_evaluation_too():
    space = TimmStagesSpace(SMALL)
    with seeded(0):
        supernet = space.supernet(CIFAR)
    weights = {d.name: torch.full(d.shape, 1 / d.shape[1]) for d in space.decisions}
    x = torch.randn(4, *CIFAR.input_shape, generator=generator(0))
    torch.testing.assert_close(supernet.eval()(x, weights), supernet.train()(x, weights))
    network = space.network(space.random(generator(0)), CIFAR)
    assert (network.eval()(x) - network.train()(x)).abs().max() > 1e-3


def test_the_page_on_writing_a_space_shows_the_real_code():
    page = Path(__file__).parents[4] / "docs" / "write-a-space.md"
    if not page.exists():
        pytest.skip("the documentation is not beside this package")
    shown = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    folder = Path(__file__).parents[1]
    real = "\n".join(file.read_text() for file in sorted(folder.rglob("*.py")))
    assert len(shown) == 5
    for code in shown:
        assert code in real


def test_only_the_chosen_blocks_are_computed_at_one_hot_weights():
    assert_computes_only_the_chosen(TimmStagesSpace(SMALL), DIGITS)


def test_transforms_of_torch_go_through_the_supernet():
    assert_transforms(TimmStagesSpace(SMALL), DIGITS)


def test_cells_computed_again_change_no_bit():
    assert_recomputed_cells(TimmStagesSpace(SMALL), Task((3, 8, 8), 4))


def test_weights_and_architecture_learn_in_bfloat16():
    assert_learns_in_bfloat16(TimmStagesSpace(SMALL), Task((3, 8, 8), 4))


@pytest.mark.slow
def test_compiled_cells_give_the_same_numbers():
    assert_compiled_cells(TimmStagesSpace(SMALL), Task((3, 8, 8), 4))
