"""Jobs of Slurm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import submitit

from balenas_core.errors import BalenasError, UsageError
from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_executor_slurm import SlurmOptions

_POLLED_EVERY = 2.0
"""Seconds between two looks at the queue; submitit itself asks Slurm less often."""


class SlurmExecutor(Executor):
    """Submits a job for each item.

    Args:
        options: What a job asks for, and what all executors share.
    """

    def __init__(self, options: SlurmOptions) -> None:
        super().__init__(options)
        self._own = options

    def check(self) -> None:
        """Look for Slurm's commands.

        Raises:
            BalenasError: There are none here.
        """
        if self._own.cluster == "slurm" and submitit.SlurmExecutor.affinity() < 0:
            raise BalenasError(
                "there is no Slurm here: no command 'srun'. Start this on a node from which jobs "
                "are submitted, or try it out here with --set executor.cluster=local."
            )

    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return a queue of jobs.

        Raises:
            BalenasError: There is no Slurm here.
            UsageError: A parameter is none of submitit.
        """
        self.check()
        executor = submitit.AutoExecutor(folder=self._own.folder, cluster=self._own.cluster)
        try:
            executor.update_parameters(name="balenas", **self._own.parameters)
        except (NameError, TypeError, ValueError) as error:
            raise UsageError(f"executor.parameters: {error}") from error
        return _Jobs(executor, work, self._own.workers)


class _Jobs(Workers):
    def __init__(self, executor: submitit.Executor, work: Callable[[Any], Any], count: int) -> None:
        self._executor = executor
        self._work = work
        self._count = count
        self._jobs: dict[Future[Any], Any] = {}
        self._is_closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="slurm", daemon=True)
        self._watcher.start()

    @property
    def count(self) -> int:
        return self._count

    def submit(self, item: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        self._jobs[answer] = self._executor.submit(_call, self._work, item)
        return answer

    def give_up(self, future: Future[Any]) -> None:
        job = self._jobs.get(future)
        if job is not None:
            job.cancel(check=False)

    def close(self) -> None:
        self._is_closed.set()
        self._watcher.join()
        for job in self._jobs.values():
            job.cancel(check=False)
        self._jobs.clear()

    def _watch(self) -> None:
        while not self._is_closed.wait(_POLLED_EVERY):
            for answer, job in [*self._jobs.items()]:
                if job.done():
                    self._hand_on(answer, job)

    def _hand_on(self, answer: Future[Any], job: Any) -> None:
        del self._jobs[answer]
        try:
            answer.set_result(job.result())
        except Exception as error:  # whatever ended the job: the work itself raises nothing
            reason = str(error).strip().partition("\n")[0]
            answer.set_exception(WorkerLostError(f"job {job.job_id} ended without ({reason})"))


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)
