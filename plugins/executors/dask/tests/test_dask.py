"""Candidates on a Dask cluster."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import cloudpickle
import pytest

pytest.importorskip("distributed", reason="distributed is not installed")

from balenas_core.errors import BalenasError, UsageError
from balenas_core.execution import in_order, open_workers
from balenas_core.testing import ExecutorConformance
from balenas_executor_dask import DaskExecutor, DaskOptions

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def slow_square(n):
    if n < 0:
        raise ValueError(f"{n} is negative")
    time.sleep(0.3)
    return n * n, os.getpid()


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, each a process of its own."""
    with _cluster(tmp_path, "--no-nanny") as found:
        yield found


@contextlib.contextmanager
def _cluster(folder, *more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    port = address.rpartition(":")[2]
    scheduler = [*command, "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
    worker = [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1",
        *more, "--no-dashboard", "--local-directory", str(folder),
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        processes = [
            subprocess.Popen(started, stdout=log, stderr=log)
            for started in (scheduler, worker, worker)
        ]
        yield address, processes
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_loses_nothing(cluster):
    address, processes = cluster
    executor = DaskExecutor(DaskOptions(address=address, timeout=60))
    try:
        executor.check()
        with open_workers(executor, slow_square) as workers:
            deadline = time.monotonic() + 60
            while workers.count < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            found = []
            for outcome in in_order(workers, [1, 2, -3, *range(4, 16)], executor.options):
                found.append(outcome)
                if len(found) == 4:
                    processes[2].send_signal(signal.SIGKILL)
    finally:
        executor.close()
    assert [o.value and o.value[0] for o in found] == [1, 4, None, *(n * n for n in range(4, 16))]
    assert str(found[2].error) == "-3 is negative"
    assert {o.value[1] for o in found if o.value} == {processes[1].pid, processes[2].pid}


def test_a_cluster_that_does_not_answer_is_named():
    executor = DaskExecutor(DaskOptions(address="tcp://127.0.0.1:9", timeout=0.2))
    with pytest.raises(BalenasError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        executor.check()


def test_what_is_no_address_is_refused():
    executor = DaskExecutor(DaskOptions(address="carrier-pigeon://here", timeout=0.2))
    with pytest.raises(UsageError, match="is no address of a Dask scheduler"):
        executor.check()


@pytest.mark.slow
class TestConformance(ExecutorConformance):
    plugin_name = "dask"

    @pytest.fixture(autouse=True, scope="class")
    def _workers(self, request, tmp_path_factory):
        with _cluster(tmp_path_factory.mktemp("dask"), "--nanny") as (address, _):
            request.cls.options = {"address": address, "timeout": 60, "attempts": 1}
            yield
