"""A search in an MLflow database, without a server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from balenas_core import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import StepEnded
from balenas_core.plugins.registry import default_registry
from balenas_core.testing import TrackerConformance, toy_config, toy_registry

# MLflow uses what the next SQLAlchemy drops.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture(autouse=True, scope="module")
def _database(tmp_path_factory):
    """One database for all tests, since it takes seconds to make one; no telemetry."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield


class TestMlflow(TrackerConformance):
    plugin_name = "mlflow"
    options = {"every_steps": 2}  # noqa: RUF012


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where artifacts go
    return MlflowClient()


def search(output, listeners=(), **options):
    """Return a search in an experiment of its own."""
    registry = toy_registry()
    registry.add("mlflow", default_registry().find("tracker", "mlflow").load())
    section = {"name": "mlflow", "experiment": str(output), "every_steps": 1, **options}
    config = toy_config(registry, trackers=[section], output=output)
    return Search(config, registry=registry, listeners=listeners)


def only_run(client, tmp_path):
    experiment = client.get_experiment_by_name(str(tmp_path / "run"))
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def steps(client, run, metric):
    return [point.step for point in client.get_metric_history(run.info.run_id, metric)]


def test_a_search_is_a_run_with_parameters_metrics_and_artifacts(client, tmp_path):
    result = search(tmp_path / "run").run()
    run = only_run(client, tmp_path)
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["training.epochs"] == "2"
    assert run.data.params["space.name"] == "toy"
    assert steps(client, run, "epoch/train_loss") == [4, 8]
    assert steps(client, run, "step/train_loss") == list(range(1, 9))
    assert run.data.metrics["epoch/train_loss"] == result.metrics[-1]["train_loss"]
    assert run.data.metrics["result/validation_accuracy"] == result.validation_accuracy
    assert run.data.tags["architecture"] == str(result.architecture)
    artifacts = {
        name: (tmp_path / client.download_artifacts(run.info.run_id, name, str(tmp_path)))
        for name in ("architecture.svg", "architecture.txt", "candidates.json")
    }
    assert artifacts["architecture.svg"].read_text().startswith("<svg")
    table = json.loads(artifacts["candidates.json"].read_text())
    assert dict(zip(table["columns"], table["data"][0], strict=True))["rank"] == 1


def test_a_resumed_search_goes_on_in_its_run_and_repeats_no_step(client, tmp_path):
    def stop(event):
        if isinstance(event, StepEnded) and event.epoch * 4 + event.step + 1 == 6:
            running.request_stop()

    running = search(tmp_path / "run", [stop])
    with pytest.raises(SearchInterrupted):
        running.run()
    assert only_run(client, tmp_path).info.status == "KILLED"
    # What a killed process had recorded after its last checkpoint.
    client.log_metric(only_run(client, tmp_path).info.run_id, "step/train_loss", 0.5, step=7)
    search(tmp_path / "run").run(resume="must")
    run = only_run(client, tmp_path)
    assert run.info.status == "FINISHED"
    assert steps(client, run, "step/train_loss") == list(range(1, 9))
    assert steps(client, run, "epoch/train_loss") == [4, 8]


def test_a_failed_search_is_a_failed_run(client, tmp_path):
    def listener(event):
        if isinstance(event, StepEnded):
            raise RuntimeError("my fault")

    with pytest.raises(RuntimeError, match="my fault"):
        search(tmp_path / "run", [listener]).run()
    assert only_run(client, tmp_path).info.status == "FAILED"


def test_the_light_module_imports_no_mlflow():
    code = "import sys, balenas_tracker_mlflow; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
