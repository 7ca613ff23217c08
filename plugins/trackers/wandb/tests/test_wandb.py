"""A search in the offline mode of wandb, and in trackio, without a network."""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path

import pytest

from balenas_core import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import EpochEnded
from balenas_core.plugins.registry import default_registry
from balenas_core.testing import TrackerConformance, toy_config, toy_registry


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")


class TestWandb(TrackerConformance):
    plugin_name = "wandb"
    options = {"init": {"mode": "offline"}, "every_steps": 2}  # noqa: RUF012


def search(output, listeners=(), **options):
    registry = toy_registry()
    registry.add("wandb", default_registry().find("tracker", "wandb").load())
    section = {"name": "wandb", "every_steps": 1, **options}
    config = toy_config(registry, trackers=[section], output=output)
    return Search(config, registry=registry, listeners=listeners)


_HEADER, _BLOCK, _CHUNK = 7, 32 * 1024, struct.Struct("<IHB")


def chunks(content):
    """Yield type and content of every chunk of a LevelDB log, in which wandb keeps a run."""
    at = _HEADER
    while at + _CHUNK.size <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _CHUNK.size:  # too small for a chunk: padding
            at += left
            continue
        _, size, kind = _CHUNK.unpack_from(content, at)
        at += _CHUNK.size
        yield kind, content[at : at + size]
        at += size


def records(folder):
    """Return the records of the only offline run in a folder, once it is whole."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # wandb's own process writes on for a moment
        found = list(parsed(path.read_bytes()))
        if found and found[-1].HasField("exit"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} does not end with an exit record")


def parsed(content):
    from wandb.proto.wandb_internal_pb2 import Record

    begun = b""
    full, last = 1, 4
    for kind, part in chunks(content):
        begun += part
        if kind in (full, last):
            yield Record.FromString(begun)
            begun = b""


def test_a_search_is_an_offline_run(tmp_path):
    result = search(tmp_path / "run", init={"mode": "offline", "dir": str(tmp_path)}).run()
    found = records(tmp_path)
    history = {}
    for record in found:
        if record.HasField("history"):
            items = {
                i.key or "/".join(i.nested_key): json.loads(i.value_json)
                for i in record.history.item
            }
            history.setdefault(items.pop("_step"), {}).update(items)
    assert history[4]["epoch/train_loss"] == result.metrics[0]["train_loss"]
    assert history[8]["selection/architecture"] == str(result.architecture)
    assert history[8]["selection/candidates/_type"] == "table-file"
    assert history[8]["status"] == "finished"
    assert sorted(step for step in history if "step/train_loss" in history[step]) == [*range(1, 9)]
    (run,) = (record.run for record in found if record.HasField("run"))
    assert run.display_name == "run"
    assert run.run_id.startswith("run-")
    assert {(item.key, item.value_json) for item in run.config.update} >= {("space.name", '"toy"')}
    (end,) = (record.exit for record in found if record.HasField("exit"))
    assert end.exit_code == 0


def stop_after_an_epoch(make):
    def stop(event):
        if isinstance(event, EpochEnded):
            running.request_stop()

    running = make([stop])
    with pytest.raises(SearchInterrupted):
        running.run()


def test_a_resumed_search_keeps_the_id_of_its_run(tmp_path):
    offline = {"init": {"mode": "offline", "dir": str(tmp_path)}}
    stop_after_an_epoch(lambda listeners: search(tmp_path / "run", listeners, **offline))
    (record,) = (r.exit for r in records(tmp_path) if r.HasField("exit"))
    assert record.exit_code == 255
    kept = json.loads((tmp_path / "run" / "trackers" / "wandb.json").read_text())
    assert (kept["module"], kept["project"]) == ("wandb", "balenas")
    search(tmp_path / "run", **offline).run(resume="must")
    files = list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert {file.name for file in files} == {f"run-{kept['id']}.wandb"}


def test_a_run_of_the_caller_stays_theirs(tmp_path):
    import wandb

    with wandb.init(project="mine", mode="offline", dir=tmp_path) as mine:
        search(tmp_path / "run", init={"mode": "offline", "dir": str(tmp_path)}).run()
        assert wandb.run is mine
        mine.log({"a": 1})


def test_a_missing_library_is_named_with_what_to_install(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert search(tmp_path / "run", module="trackio").run().metrics
    assert 'pip install "balenas-tracker-wandb[trackio]"' in caplog.text


class TestTrackio:
    @pytest.fixture(autouse=True)
    def _trackio(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        return pytest.importorskip("trackio", reason="trackio needs an older pillow")

    def test_a_search_that_goes_on_is_one_run(self, tmp_path, caplog):
        from trackio.sqlite_storage import SQLiteStorage

        def make(listeners=()):
            return search(tmp_path / "run", listeners, module="trackio", init={"embed": False})

        stop_after_an_epoch(make)
        result = make().run(resume="must")
        assert caplog.messages == []
        (name,) = SQLiteStorage.get_runs("balenas")
        history = SQLiteStorage.get_logs("balenas", name)
        epochs = [line for line in history if "epoch/train_loss" in line]
        assert [line["step"] for line in epochs] == [4, 8]
        assert epochs[1]["epoch/train_loss"] == result.metrics[1]["train_loss"]
        assert [line["status"] for line in history if "status" in line] == [
            "interrupted",
            "finished",
        ]
        assert Path(tmp_path / "trackio").is_dir()
