"""Workers of a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from balenas_core.errors import BalenasError, UsageError
from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_executor_dask import DaskOptions

_COUNTED_EVERY = 1.0
"""Seconds for which the number of workers is believed."""


_RESTARTED_WITHIN = 120.0
"""Seconds in which a cluster without workers must have one."""


class DaskExecutor(Executor):
    """Uses a running cluster, or starts one when it is first needed.

    Args:
        options: Where it is, or how large, and what all executors share.
    """

    def __init__(self, options: DaskOptions) -> None:
        super().__init__(options)
        self._own = options
        self._client: Client | None = None
        self._stack = ExitStack()

    def check(self) -> None:
        """Connect to a running cluster.

        Raises:
            BalenasError: It does not answer.
        """
        if self._own.address is not None:
            self._connected()

    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return the workers of the cluster, which are sent the work.

        Raises:
            BalenasError: The cluster does not answer, or has no worker.
        """
        return _ClusterWorkers(self._connected(), work, self._own.workers)

    def close(self) -> None:
        """Leave a running cluster, or end the one that was started."""
        self._client = None
        self._stack.close()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> Client:
        address, timeout = self._own.address, self._own.timeout
        if address is None:
            # What ends a worker is judged by who gave it the work, not by the scheduler.
            with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
                cluster = LocalCluster(
                    n_workers=self._own.workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            self._stack.enter_context(cluster)
            own = Client(cluster, set_as_default=False)
            self._stack.enter_context(own)
            return own
        try:
            client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise BalenasError(
                f"no Dask scheduler answers at {address} ({_reason(error)}). Start one with 'dask "
                f"scheduler' and workers with 'dask worker {address}', or correct executor.address."
            ) from error
        except ValueError as error:
            raise UsageError(
                f"executor.address: {address!r} is no address of a Dask scheduler ({error}); "
                f"write it as tcp://HOST:8786."
            ) from error
        self._stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=timeout)
        except (OSError, TimeoutError) as error:
            raise BalenasError(
                f"the Dask scheduler at {address} has no workers; start some with 'dask worker "
                f"{address} --nthreads 1'."
            ) from error
        return client


class _ClusterWorkers(Workers):
    def __init__(self, client: Client, work: Callable[[Any], Any], most: int | None) -> None:
        self._client = client
        self._work = work
        self._most = most
        self._counted = 0
        self._counted_at = -_COUNTED_EVERY
        self._sent = self._send()
        self._asked: dict[Future[Any], Any] = {}

    @property
    def count(self) -> int:
        now = time.monotonic()
        if now - self._counted_at >= _COUNTED_EVERY:
            self._counted = len(self._client.scheduler_info(n_workers=-1)["workers"])
            self._counted_at = now
        return max(1, min(self._counted, self._most or self._counted))

    def submit(self, item: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        if self._sent.status != "finished":  # the workers that had it are gone
            self._sent = self._send()
        asked = self._client.submit(_call, self._sent, item, pure=False)
        self._asked[answer] = asked  # Dask forgets what nobody refers to
        asked.add_done_callback(lambda done: self._hand_on(done, answer))
        return answer

    def give_up(self, future: Future[Any]) -> None:
        asked = self._asked.get(future)
        if asked is not None:
            self._client.cancel([asked], force=True)

    def close(self) -> None:
        self._client.cancel([*self._asked.values()], force=True)
        self._asked.clear()
        self._sent.release()

    def _send(self) -> Any:
        try:
            self._client.wait_for_workers(1, timeout=_RESTARTED_WITHIN)
            return self._client.scatter(self._work, broadcast=True, hash=False)
        except (OSError, TimeoutError) as error:
            raise BalenasError(
                f"the Dask cluster has no workers any more ({_reason(error)}). Start some, and go "
                f"on with the same command: what is done is kept."
            ) from error

    def _hand_on(self, done: Any, answer: Future[Any]) -> None:
        try:
            answer.set_result(done.result())
        except KilledWorker as error:
            reason = f"a worker of Dask died ({_reason(error)})"
            # It counts against all that the worker had, also what it had not begun.
            answer.set_exception(WorkerLostError(reason, is_shared=True))
        except BaseException as error:  # it is cancelled, or what it needs is lost
            reason = f"Dask lost it ({type(error).__name__}: {_reason(error)})"
            answer.set_exception(WorkerLostError(reason, is_shared=True))
        finally:
            self._asked.pop(answer, None)


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
