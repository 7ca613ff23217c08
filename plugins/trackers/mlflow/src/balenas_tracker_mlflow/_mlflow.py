"""A search as a run of an MLflow experiment."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from balenas_core.drawing import draw_architecture
from balenas_core.interfaces.events import SearchStarted
from balenas_core.interfaces.selection import Selection
from balenas_core.interfaces.tracker import (
    RunTracker,
    Status,
    TrackedRun,
    Tracker,
    flat_config,
)
from balenas_tracker_mlflow import MlflowOptions

_MOST_PARAMETERS = 100  # that MLflow takes at once
_LONGEST_TAG = 5000
_STATUS: Mapping[Status, str] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


def make_tracker(options: MlflowOptions) -> Tracker:
    """Return the tracker."""

    def open_run(event: SearchStarted, id: str | None) -> TrackedRun:
        # A client, not mlflow.start_run: whoever calls the search may have a run of their own.
        client = MlflowClient(tracking_uri=options.uri)
        if id is None:
            return _Run(client, _new_run(client, options.experiment, event))
        client.update_run(id, status="RUNNING")
        return _Run(client, id)

    place = {"uri": options.uri, "experiment": options.experiment}
    return RunTracker("mlflow", open_run, place=place, every_steps=options.every_steps)


def _new_run(client: MlflowClient, experiment: str, event: SearchStarted) -> str:
    known = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment) if known is None else known.experiment_id
    run = client.create_run(number, run_name=event.run.name if event.run else None)
    id: str = run.info.run_id
    settings = [Param(key, str(value)) for key, value in flat_config(event.config).items()]
    for start in range(0, len(settings), _MOST_PARAMETERS):
        client.log_batch(id, params=settings[start : start + _MOST_PARAMETERS])
    return id


class _Run(TrackedRun):
    def __init__(self, client: MlflowClient, id: str) -> None:
        super().__init__(id)
        self._client = client
        self._id = id
        self._logged: dict[str, int] = {}

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Record numbers as metrics; texts become tags, which hold the last one."""
        now = time.time_ns() // 1_000_000
        self._client.log_batch(
            self._id,
            metrics=[
                Metric(name, value, now, step)
                for name, value in values.items()
                if not isinstance(value, str) and step > self._last_step(name)
            ],
            tags=[
                RunTag(name, value[:_LONGEST_TAG])
                for name, value in values.items()
                if isinstance(value, str)
            ],
        )

    def _last_step(self, metric: str) -> int:
        """Return the last step before this process; those after a checkpoint are made again."""
        if metric not in self._logged:
            history = self._client.get_metric_history(self._id, metric)
            self._logged[metric] = max((point.step for point in history), default=-1)
        return self._logged[metric]

    def log_selection(self, selection: Selection, step: int) -> None:
        """Record the architecture as a tag, its drawing and the candidates as artifacts."""
        architecture = selection.chosen.architecture
        self._client.set_tag(self._id, "architecture", str(architecture)[:_LONGEST_TAG])
        self._client.log_text(self._id, str(architecture), "architecture.txt")
        drawing = draw_architecture(architecture, is_file=True)
        self._client.log_text(self._id, drawing, "architecture.svg")
        columns, rows = selection.table()
        self._client.log_dict(self._id, {"columns": columns, "data": rows}, "candidates.json")

    def end(self, status: Status, step: int) -> None:
        """Record the status."""
        self._client.set_terminated(self._id, _STATUS[status])
