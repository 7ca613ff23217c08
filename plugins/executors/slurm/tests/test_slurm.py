"""Jobs of Slurm, tried out in processes of this machine."""

import shutil
import sys

import cloudpickle
import pytest

pytest.importorskip("submitit", reason="submitit is not installed")

from balenas_core.errors import BalenasError, UsageError
from balenas_core.execution import in_order, open_workers
from balenas_executor_slurm import SlurmExecutor, SlurmOptions

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def square(n):
    if n < 0:
        raise ValueError(f"{n} is negative")
    return n * n


@pytest.mark.slow
def test_every_item_is_a_job(tmp_path):
    executor = SlurmExecutor(SlurmOptions(folder=tmp_path, cluster="local", workers=3, attempts=1))
    with open_workers(executor, square) as workers:
        found = list(in_order(workers, [1, 2, -3], executor.options))
    assert [o.value for o in found] == [1, 4, None]
    assert str(found[2].error) == "-3 is negative"
    assert len(list(tmp_path.glob("*_0_log.out"))) == 3


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a Slurm here")
def test_without_slurm_it_says_where_to_start(tmp_path):
    with pytest.raises(BalenasError, match="there is no Slurm here"):
        SlurmExecutor(SlurmOptions(folder=tmp_path)).check()


def test_an_unknown_parameter_is_refused(tmp_path):
    executor = SlurmExecutor(
        SlurmOptions(folder=tmp_path, cluster="local", parameters={"nonsense": 1})
    )
    with pytest.raises(UsageError, match=r"executor\.parameters: .*nonsense"):
        executor.open(square)
