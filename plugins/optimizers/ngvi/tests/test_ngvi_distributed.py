"""Two processes with K samples each make the step of one process with 2 K samples."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from balenas_optimizer_ngvi import NGVI, _formulas
from balenas_optimizer_ngvi._formulas import StepOptions

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs gloo"
)

WORKER = """
import json, os, sys
import torch, torch.distributed as dist
from balenas_optimizer_ngvi import NGVI, NonFiniteGradientError
dist.init_process_group("gloo")
rank = dist.get_rank()
def run(variant, backend):
    p, lonely = (torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0])) for _ in range(2))
    optimizer = NGVI([p, lonely], 0.1, ess=10.0, variant=variant, hess_init=1.0, betas=(0.5, 0.9),
                     mc_samples=2, sync_samples=True, backend=backend,
                     generator=torch.Generator().manual_seed(0))
    sigma, mean = optimizer.posterior(p).sigma, p.detach().clone()
    noises, gradients = [], []
    for _ in range(2):
        with optimizer.sampled_params():
            loss = (p ** 4).sum() + (lonely.sum() if rank == 0 else 0.0)
            loss.backward()
            noises.append(((p.detach() - mean) / sigma).tolist())
            gradients.append(p.grad.tolist())
    optimizer.step()
    result = {"noises": noises, "gradients": gradients, "mean": p.tolist(),
              "hess": optimizer.state[p]["hess"].tolist(), "lonely": lonely.tolist(),
              "generator": optimizer.generator.get_state().sum().item()}
    for _ in range(2):
        with optimizer.sampled_params():
            p.grad = torch.full((3,), float("nan") if rank == 0 else 1.0)
    try:
        optimizer.step()
    except NonFiniteGradientError:
        result["refused"] = True
    return result
print(json.dumps([run("vadam", "torch"), run("ivon", "auto")]))
dist.barrier()  # gloo's threads abort a process whose peer leaves before it
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def results():
    """Return [vadam, ivon] of both processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=base | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    found = []
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=120)
            assert worker.returncode == 0, err
            found.append(json.loads(out.splitlines()[-1]))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return found


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_two_processes_equal_one_with_all_samples(variant, results):
    first, second = (found[variant == "ivon"] for found in results)
    for name in ("mean", "hess", "lonely", "generator"):
        assert first[name] == second[name], name
    noises = torch.tensor(first["noises"] + second["noises"])
    gradients = torch.tensor(first["gradients"] + second["gradients"])
    assert len({tuple(z) for z in noises.tolist()}) == 4
    mean, momentum, hess = torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3), torch.ones(3)
    products = gradients * (noises if variant == "ivon" else gradients)
    options = StepOptions(
        lr=0.1 * (1.1 if variant == "ivon" else 1.0),
        beta1=0.5, beta2=0.9, ess=10.0, prior=1.0, radius=float("inf"), step=1, debias=True,
    )  # fmt: skip
    rule = _formulas.ivon_ if variant == "ivon" else _formulas.vadam_
    scratch = (torch.empty(3), torch.empty(3))
    rule(mean, momentum, hess, gradients.mean(0), products.mean(0), options, scratch)
    torch.testing.assert_close(torch.tensor(first["mean"]), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(first["hess"]), hess, rtol=1e-4, atol=1e-5)
    # A parameter with gradients in one process only moves in both, by the mean over both.
    assert first["lonely"] != [1.0, 2.0, 3.0]
    assert first["refused"]
    assert second["refused"]


def test_without_a_process_group_synchronising_is_a_no_op():
    def run(sync):
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = NGVI([p], 0.1, ess=10.0, variant="ivon", sync_samples=sync, mc_samples=2)
        for _ in range(2):
            with optimizer.sampled_params():
                (p**2).sum().backward()
        optimizer.step()
        return p.detach()

    torch.testing.assert_close(run(True), run(False))
