"""Losses, gradients and averages of one step, computed by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from training_toys import HelpedSpace

from balenas_core.engine.processes import Processes
from balenas_core.errors import DivergenceError
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.random import generator, seeded
from balenas_core.testing import ToySpace
from balenas_timm.recipes import TrainingRecipe
from balenas_timm.training._augmentation import mixed, mixing
from balenas_timm.training._loop import TrainingLoop, criterion

ALONE = Processes(0, 1, torch.device("cpu"))


def network(space):
    with seeded(0):
        return space.network(space.parse("conv-conv"), Task((1, 4, 4), 2))


def loop(space, **settings):
    recipe = TrainingRecipe(**{"optimizer": "momentum", "lr": 0.5, "clip": None} | settings)
    return TrainingLoop(
        network(space),
        recipe,
        num_classes=2,
        steps_per_epoch=4,
        precision="float32",
        seed=0,
        processes=ALONE,
    )


@pytest.fixture
def batch():
    source = generator(0, "batch")
    return Batch(torch.randn(8, 1, 4, 4, generator=source), torch.arange(8) % 2)


def _weights(trained):
    return [parameter.detach().clone() for parameter in trained.tested.parameters()]


def test_the_loss_is_that_of_the_output_plus_weight_times_that_of_the_auxiliary_head(batch):
    reference = network(HelpedSpace()).train()
    logits, auxiliary = reference.forward_with_auxiliary(batch.images)
    expected = F.cross_entropy(logits, batch.labels) + 0.4 * F.cross_entropy(
        auxiliary, batch.labels
    )
    expected.backward()
    trained = loop(HelpedSpace(), auxiliary_weight=0.4, momentum=0.0, weight_decay=0.0)
    made = trained.step(batch, 0, 0)
    assert made.loss == pytest.approx(expected.item(), rel=1e-6)
    for parameter, old in zip(trained._network.parameters(), reference.parameters(), strict=True):
        assert_close(parameter.detach(), old.detach() - 0.5 * old.grad)


def test_parts_of_a_batch_give_the_step_of_the_whole_batch(batch):
    whole, parts = loop(ToySpace()), loop(ToySpace(), accumulate=3)
    for step in range(3):
        first, second = whole.step(batch, 0, step), parts.step(batch, 0, step)
        assert first.loss == pytest.approx(second.loss, rel=1e-5)
        assert first.correct == second.correct
    for one, other in zip(_weights(whole), _weights(parts), strict=True):
        assert_close(one, other)


def test_the_gradient_is_clipped_to_its_norm(batch):
    trained = loop(ToySpace(), clip=1e-3, momentum=0.0, weight_decay=0.0, lr=1.0)
    before = _weights(trained)
    trained.step(batch, 0, 0)
    change = torch.cat([
        (old - new).flatten() for old, new in zip(before, _weights(trained), strict=True)
    ])  # fmt: skip
    assert change.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_the_averaged_weights_follow_their_recursion(batch):
    trained = loop(ToySpace(), ema=0.75)
    average = None
    for step in range(4):
        trained.step(batch, 0, step)
        now = [parameter.detach().clone() for parameter in trained._network.parameters()]
        # timm's first update copies the weights.
        average = (
            now
            if average is None
            else [0.75 * a + 0.25 * w for a, w in zip(average, now, strict=True)]
        )
    for found, expected in zip(_weights(trained), average, strict=True):
        assert_close(found, expected)


def test_label_smoothing_moves_a_share_of_the_target_to_all_classes():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    log_probabilities = logits.log_softmax(-1)[0]
    expected = -(0.7 * log_probabilities[0] + 0.1 * log_probabilities.sum())
    loss = criterion(TrainingRecipe(label_smoothing=0.3))
    assert_close(loss(logits, torch.tensor([0])), expected)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_targets_are_the_images_shares_with_smoothing(kind):
    recipe = TrainingRecipe(**{kind: 1.0, "label_smoothing": 0.2})
    images = torch.cat([torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)])
    labels = torch.tensor([0, 0, 1, 1])
    with seeded(3):
        x, targets = mixed(mixing(recipe, 2), images, labels)
    assert x is images
    share = x[0].mean().item()  # of the image of class 1 in one of class 0
    assert 0 < share < 1
    smooth = torch.tensor([0.1, 0.9])
    expected = (1 - share) * smooth.flip(0) + share * smooth
    assert_close(targets[0], expected)
    assert_close(targets.sum(-1), torch.ones(4))


def test_mixing_ends_at_its_epoch(batch):
    trained = loop(ToySpace(), mixup=1.0, mixup_off_epoch=2, epochs=4)
    trained.begin_epoch(1)
    assert trained._mix.mixup_enabled
    trained.begin_epoch(2)
    assert not trained._mix.mixup_enabled


def test_a_step_is_a_function_of_its_number(batch):
    first = loop(HelpedSpace(), auxiliary_weight=0.4, drop_path=0.5, mixup=0.5)
    second = copy.deepcopy(first.state_dict())
    other = loop(HelpedSpace(), auxiliary_weight=0.4, drop_path=0.5, mixup=0.5)
    other.load_state_dict(second)
    torch.rand(5)  # whatever was drawn in between
    for trained in (first, other):
        trained.begin_epoch(3)
    images = batch.images.clone()
    losses = [t.step(Batch(images.clone(), batch.labels), 3, 1).loss for t in (first, other)]
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_changes_no_weight(batch):
    trained = loop(ToySpace())
    before = _weights(trained)
    with pytest.raises(DivergenceError, match="the training loss is nan"):
        trained.step(Batch(batch.images * float("nan"), batch.labels), 0, 0)
    for old, new in zip(before, _weights(trained), strict=True):
        assert torch.equal(old, new)


def test_a_compiled_network_is_not_compiled_again_when_its_drop_path_rises(batch):
    trained = loop(HelpedSpace(), compile=True, drop_path=0.5, epochs=4, auxiliary_weight=0.4)
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    trained._model.compile(backend=backend)
    for epoch in range(4):
        trained.begin_epoch(epoch)
        assert trained.drop_path == pytest.approx(0.5 * epoch / 4)
        trained.step(batch, epoch, 0)
    assert len(compiled) == 1


def _overflowing(space, **settings):
    """Return a loop in float16's way of scaling whose gradient never fits."""
    trained = loop(space, **settings)
    trained._scaler = torch.amp.GradScaler("cpu")
    handles = [
        parameter.register_hook(lambda gradient: gradient * math.inf)
        for parameter in trained._network.parameters()
    ]
    return trained, handles


def test_a_gradient_that_overflows_at_every_scale_is_a_divergence(batch):
    trained, _ = _overflowing(ToySpace(), epochs=100)
    before = _weights(trained)
    for step in range(16):  # from a scale of 2**16 to one of 1
        trained.step(batch, 0, step)
    with pytest.raises(DivergenceError, match="overflows float16, in the last 17 steps"):
        trained.step(batch, 0, 16)
    for old, new in zip(before, _weights(trained), strict=True):
        assert torch.equal(old, new)


def test_a_short_training_in_which_every_step_overflows_is_a_divergence(batch):
    trained, _ = _overflowing(ToySpace(), epochs=2)
    for step in range(7):
        trained.step(batch, *divmod(step, 4))
    with pytest.raises(DivergenceError, match=r"the last 8 steps.*--precision bfloat16"):
        trained.step(batch, 1, 3)


def test_a_step_that_overflows_is_left_out_and_the_next_one_is_not(batch):
    trained, handles = _overflowing(ToySpace(), epochs=1)
    before = _weights(trained)
    trained.step(batch, 0, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, _weights(trained), strict=True))
    for handle in handles:
        handle.remove()
    for step in range(1, 4):
        trained.step(batch, 0, step)
    assert not any(torch.equal(a, b) for a, b in zip(before, _weights(trained), strict=True))


def test_the_test_counts_every_image_once():
    trained = loop(ToySpace())
    source = generator(1)
    batches = [
        Batch(torch.randn(count, 1, 4, 4, generator=source), torch.arange(count) % 2)
        for count in (5, 3)
    ]
    found = trained.test(batches)
    images = torch.cat([one.images for one in batches])
    labels = torch.cat([one.labels for one in batches])
    with torch.no_grad():
        logits = trained.tested(images)
    assert found.images == 8
    assert found.mean_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert found.correct == int((logits.argmax(-1) == labels).sum())
