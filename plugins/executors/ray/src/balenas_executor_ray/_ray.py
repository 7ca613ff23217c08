"""Workers of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from balenas_core.errors import BalenasError
from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_executor_ray import RayOptions
from balenas_executor_ray._import import RayError, ray

_COUNTED_EVERY = 1.0
"""Seconds for which the number of workers is believed."""


class RayExecutor(Executor):
    """Uses a running cluster, or starts one when it is first needed.

    A process has one connection to Ray: where it is connected already, that one is used.

    Args:
        options: Where it is, or how large, and what all executors share.
    """

    def __init__(self, options: RayOptions) -> None:
        super().__init__(options)
        self._own = options
        self._is_own = False

    def check(self) -> None:
        """Connect to a running cluster.

        Raises:
            BalenasError: It does not answer.
        """
        if self._own.address is not None:
            self._connect()

    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return the workers of the cluster, which are sent the work.

        Raises:
            BalenasError: The cluster does not answer.
        """
        self._connect()
        return _ClusterWorkers(work, self._own)

    def close(self) -> None:
        """Leave a running cluster, or end the one that was started."""
        if self._is_own:
            ray.shutdown()
            self._is_own = False

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        address = self._own.address
        if address is None:
            ray.init(num_cpus=self._own.workers, include_dashboard=False, **common)
        else:
            self._join(address, common)
        self._is_own = True

    def _join(self, address: str, common: dict[str, Any]) -> None:
        try:
            _knock(address, self._own.timeout)
            ray.init(address=address, **common)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            ray.shutdown()
            raise BalenasError(
                f"no Ray cluster answers at {address} ({_reason(error)}). Start one with "
                f"'ray start --head', or correct executor.address."
            ) from error


def _knock(address: str, timeout: float) -> None:
    """Connect once: Ray itself tries for minutes.

    Raises:
        OSError: Nobody is there.
        ValueError: The address has no port.
    """
    place = urlsplit(address if "://" in address else f"//{address}")
    if address == "auto" or (place.hostname and place.scheme not in ("", "ray")):
        return  # Ray finds it by other means
    if place.hostname is None or place.port is None:
        raise ValueError("an address is auto, HOST:PORT or ray://HOST:PORT")
    socket.create_connection((place.hostname, place.port), timeout=timeout).close()


class _ClusterWorkers(Workers):
    def __init__(self, work: Callable[[Any], Any], options: RayOptions) -> None:
        self._options = options
        self._work = ray.put(work)
        self._call = ray.remote(_call).options(
            num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0
        )
        self._counted = 0
        self._counted_at = -_COUNTED_EVERY
        self._asked: dict[Future[Any], Any] = {}

    @property
    def count(self) -> int:
        now = time.monotonic()
        if now - self._counted_at >= _COUNTED_EVERY:
            self._counted, self._counted_at = self._of_cluster(), now
        return max(1, min(self._counted, self._options.workers or self._counted))

    def _of_cluster(self) -> int:
        resources = ray.cluster_resources()
        options = self._options
        by_cpus = resources.get("CPU", 0.0) / options.cpus
        by_gpus = resources.get("GPU", 0.0) / options.gpus if options.gpus else by_cpus
        return int(min(by_cpus, by_gpus))

    def submit(self, item: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        asked = self._call.remote(self._work, item)
        self._asked[answer] = asked
        asked.future().add_done_callback(lambda done: self._hand_on(done, answer))
        return answer

    def give_up(self, future: Future[Any]) -> None:
        asked = self._asked.get(future)
        if asked is not None:
            ray.cancel(asked, force=True)

    def close(self) -> None:
        for asked in self._asked.values():
            ray.cancel(asked, force=True)
        self._asked.clear()
        del self._work

    def _hand_on(self, done: Future[Any], answer: Future[Any]) -> None:
        self._asked.pop(answer, None)
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
            return
        answer.set_exception(WorkerLostError(f"a worker of Ray was lost ({_reason(error)})"))


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)


def _reason(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
