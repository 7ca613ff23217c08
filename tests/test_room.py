"""What a network is said to need, before it is built, against what it takes."""

import pytest
import torch

from balenas_core.config import PluginSection
from balenas_core.errors import TooLargeError
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator
from balenas_core.scores import room
from balenas_core.scores.room import check_room

TASK = Task((3, 16, 16), 10)
SPACES = ["darts", "nb201", "nb1shot1", "timm_stages"]


def build(name, **options):
    section = PluginSection.resolve("space", {"name": name, **options})
    return default_registry().find("space", name).build(section.options)


def kept(run):
    """Return how many bytes of distinct memory a run keeps for its backward pass."""
    storages, tensors = {}, []

    def pack(tensor):
        tensors.append(tensor)
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    return sum(storages.values())


@pytest.mark.parametrize("name", SPACES)
def test_what_a_step_keeps_is_known_without_running_it(name, monkeypatch):
    space, found = build(name), []
    counted = room._kept_bytes
    monkeypatch.setattr(room, "_kept_bytes", lambda run: found.append(counted(run)) or 0)
    monkeypatch.setattr(room, "memory_of", lambda device: 64 * 2**20)
    weights = {d.name: torch.full(d.shape, 1 / d.shape[1]) for d in space.decisions}
    learned = {name: table.requires_grad_() for name, table in weights.items()}
    supernet = space.supernet(TASK)
    architecture = space.random(generator(0, "room"))
    network = space.network(architecture, TASK)
    image = torch.randn(1, *TASK.input_shape)
    for form, run in (
        (None, lambda: supernet(image, learned)),
        (architecture, lambda: network(image)),
    ):
        found.clear()
        check_room(space, TASK, architecture=form, images=64)
        assert found[0] == pytest.approx(kept(run), rel=0.05)


def test_operations_that_do_not_run_keep_nothing(monkeypatch):
    monkeypatch.setattr(room, "memory_of", lambda device: 10 * 2**20)
    space = build("nb201")
    skips = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    with pytest.raises(TooLargeError):
        check_room(space, TASK, images=36)
    check_room(space, TASK, weights=lambda: space.one_hot(space.parse(skips)), images=36)


@pytest.mark.parametrize("name", SPACES)
def test_drawing_numbers_is_left_as_it_was(name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_room(build(name), TASK, images=8)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_does_not_fit_is_refused_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(room, "memory_of", lambda device: 10 * 2**20)
    space = build("nb201")
    check_room(space, TASK)
    with pytest.raises(TooLargeError, match=r"\d\d\.?\d? MiB .*64 images of a step .* are 10 MiB"):
        check_room(space, TASK, images=64)
    with pytest.raises(TooLargeError, match=r"weights 24\.1 MiB\), and there are 10 MiB; lower"):
        check_room(build("nb201", channels=64), TASK)


def test_memory_of_this_machine_is_known():
    memory = room.memory_of(torch.device("cpu"))
    assert memory is not None
    assert 2**28 < memory < 2**50
