"""A search in TensorBoard's event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from balenas_core import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import StepEnded
from balenas_core.plugins.registry import default_registry
from balenas_core.testing import TrackerConformance, toy_config, toy_registry


class TestTensorBoard(TrackerConformance):
    plugin_name = "tensorboard"
    options = {"directory": "logs", "every_steps": 2}  # noqa: RUF012


def search(output, listeners=(), **options):
    registry = toy_registry()
    registry.add("tensorboard", default_registry().find("tracker", "tensorboard").load())
    section = {"name": "tensorboard", "every_steps": 1, **options}
    config = toy_config(registry, trackers=[section], output=output, seed=3)
    return Search(config, registry=registry, listeners=listeners)


def make_older(directory):
    """Give files of the same second the order of real ones: TensorBoard reads them by name."""
    for number, path in enumerate(
        sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime)
    ):
        path.rename(directory / f"events.out.tfevents.{number:010}.older")


def read(directory):
    events = EventAccumulator(str(directory), {"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


def text(events, tag):
    (event,) = events.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_a_search_is_scalars_by_step_and_texts(tmp_path):
    result = search(tmp_path / "run").run()
    events = read(tmp_path / "run" / "tensorboard")
    assert steps(events, "step/train_loss") == list(range(1, 9))
    losses = [event.value for event in events.Scalars("epoch/train_loss")]
    assert losses == pytest.approx([line["train_loss"] for line in result.metrics])
    assert steps(events, "epoch/train_loss") == [4, 8]
    assert steps(events, "result/search_seconds") == [8]
    assert text(events, "selection/architecture") == f"    {result.architecture}"
    assert "    training.epochs: 2" in text(events, "config").splitlines()
    assert text(events, "selection/cells").startswith("    toy cell\n      in ")
    assert text(events, "selection/candidates").split()[0] == "rank"
    assert text(events, "status") == "finished"


def test_a_resumed_search_shows_no_step_twice(tmp_path):
    def stop(event):
        if isinstance(event, StepEnded) and event.epoch * 4 + event.step + 1 == 6:
            running.request_stop()

    running = search(tmp_path / "run", [stop])
    with pytest.raises(SearchInterrupted):
        running.run()
    directory = tmp_path / "run" / "tensorboard"
    assert text(read(directory), "status") == "interrupted"
    # What a killed process had shown after its last checkpoint.
    with SummaryWriter(str(directory)) as writer:
        for step in (7, 8):
            writer.add_scalar("step/train_loss", -1.0, step)
    make_older(directory)
    search(tmp_path / "run").run(resume="must")
    events = read(directory)
    assert steps(events, "step/train_loss") == list(range(1, 9))
    assert all(event.value >= 0 for event in events.Scalars("step/train_loss"))
    assert steps(events, "epoch/train_loss") == [4, 8]


def test_a_directory_of_all_runs_has_a_folder_for_each(tmp_path):
    for name in ("first", "second"):
        search(tmp_path / name, directory=str(tmp_path / "logs")).run()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["first", "second"]


def test_without_any_directory_the_search_goes_on_and_says_what_to_set(caplog):
    assert search(None).run().metrics
    assert "set the tracker's directory, or output" in caplog.text
