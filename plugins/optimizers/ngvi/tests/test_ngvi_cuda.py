"""The CUDA operators on a GPU: skipped without one, complete as it stands."""

import math

import pytest
import torch

import balenas_optimizer_ngvi._native as native
from balenas_optimizer_ngvi import NGVI

pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and native.load_cuda_operators()),
    reason="needs a GPU and the CUDA operators",
)

RULES = [(0, False), (0, True), (1, False), (1, True), (2, True)]
NUMBERS = (0.1, 0.9, 0.99, 100.0, 0.5, math.inf, 3, True)
SIZES = {
    "one": [1],
    "logits": [112] * 4,
    "tails": [0, 1, 2, 3, 4, 5, 16383, 16384, 16385, 100_003],
    "many tensors": [1 + i % 40 for i in range(500)],
    "a network": [1_000_000, 64, 64, 2_359_296, 512, 512],
    "1e8": [100_000_000],
}


def lists(sizes, shift=0, dtype=torch.float32, device="cuda"):
    """Return parameter, momentum, hess, gradient, noise and curvature, perhaps misaligned."""
    generator = torch.Generator("cuda").manual_seed(1)

    def make(f):
        made = []
        for size in sizes:
            whole = torch.zeros(size + shift, device=device, dtype=dtype)
            values = torch.randn(size, generator=generator, device="cuda")
            whole[shift:] = f(values).to(device, dtype)
            made.append(whole[shift:])
        return made

    return (
        make(torch.clone),
        make(lambda x: 0.1 * x),
        make(lambda x: x.abs() + 0.1),
        make(lambda x: 0.1 * x),
        make(torch.clone),
        make(torch.square),
    )


def step(columns, rule, given, device_numbers=NUMBERS):
    p, m, h, g, z, c = columns
    extra = c if given else z if rule == 1 else []
    torch.ops.balenas_ngvi.step_(p, m, h, g, extra, rule, not given, *device_numbers)


def on_cpu(columns):
    return tuple([t.cpu() for t in column] for column in columns)


@pytest.mark.parametrize(("rule", "given"), RULES)
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_a_step_equals_the_cpu_operator(sizes, shift, rule, given):
    columns = lists(sizes, shift)
    expected = on_cpu(columns)
    step(columns, rule, given)
    step(expected, rule, given)
    for got, wanted in zip(columns[:3], expected[:3], strict=True):
        for x, y in zip(got, wanted, strict=True):
            torch.testing.assert_close(x.cpu(), y, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("rule", "given"), RULES)
def test_twenty_steps_stay_within_1e5(rule, given):
    columns = lists(SIZES["a network"])
    expected = on_cpu(columns)
    for number in range(1, 21):
        numbers = (*NUMBERS[:6], number, True)
        step(columns, rule, given, numbers)
        step(expected, rule, given, numbers)
    for x, y in zip(columns[0], expected[0], strict=True):
        torch.testing.assert_close(x.cpu(), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_a_seed_gives_the_cpus_sample(sizes, shift, keep):
    p, _, h, *_ = lists(sizes, shift)
    p_cpu, h_cpu = on_cpu((p, h))
    results = []
    for parameter, hess in ((p, h), (p_cpu, h_cpu)):
        mean, noise = ([torch.empty_like(x) for x in parameter] for _ in range(2))
        torch.ops.balenas_ngvi.sample_(
            parameter, hess, mean, noise if keep else [], 100.0, 0.5, -1.0, 2**62 + 5
        )
        results.append([t.cpu() for t in (*parameter, *mean, *(noise if keep else []))])
    torch.testing.assert_close(results[0], results[1], rtol=2e-6, atol=2e-6)


def test_work_goes_to_the_current_stream():
    columns = lists(SIZES["a network"])
    expected = on_cpu(columns)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # Long work in front: a kernel on another stream would read the old values.
        torch.cuda._sleep(50_000_000)
        for column in columns[0]:
            column.add_(1.0)
        step(columns, 1, False)
    stream.synchronize()
    for column in expected[0]:
        column.add_(1.0)
    step(expected, 1, False)
    for x, y in zip(columns[0], expected[0], strict=True):
        torch.testing.assert_close(x.cpu(), y, rtol=2e-6, atol=2e-6)


def test_a_captured_graph_replays_sample_and_step():
    columns = lists(SIZES["logits"])
    p = columns[0]
    mean = [torch.empty_like(x) for x in p]

    def run(c, m):
        torch.ops.balenas_ngvi.sample_(c[0], c[2], m, [], 100.0, 0.5, 1.0, 7)
        torch._foreach_copy_(c[0], m)
        step(c, 1, False)

    warm, warm_mean = lists(SIZES["logits"]), [torch.empty_like(x) for x in p]
    run(warm, warm_mean)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(columns, mean)
    graph.replay()
    graph.replay()
    torch.cuda.synchronize()
    run(warm, warm_mean)
    torch.testing.assert_close(columns[:3], warm[:3], rtol=0, atol=0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_tensors_of_another_device_than_the_current_one():
    with torch.cuda.device(0):
        columns = lists(SIZES["logits"], device="cuda:1")
        expected = on_cpu(columns)
        step(columns, 0, False)
    step(expected, 0, False)
    torch.testing.assert_close(on_cpu(columns)[0], expected[0], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_the_optimizer_draws_and_steps_as_on_the_cpu(variant):
    def run(device):
        p = torch.nn.Parameter(torch.linspace(-1, 1, 30, device=device).view(6, 5))
        optimizer = NGVI(
            [p], 0.1, ess=1e4, variant=variant, hess_init=1.0, backend="native",
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        for _ in range(10):
            optimizer.zero_grad()
            with optimizer.sampled_params():
                (p**2).sum().backward()
            optimizer.step()
        return p.detach().cpu(), optimizer.posterior(p).sigma.cpu()

    torch.testing.assert_close(run("cuda"), run("cpu"), rtol=1e-5, atol=1e-5)


def test_a_gradient_scaler_and_autocast_work():
    model = torch.nn.Linear(8, 1).cuda()
    optimizer = NGVI(model.parameters(), 0.01, ess=100.0, variant="ivon")
    scaler = torch.amp.GradScaler("cuda")
    inputs, targets = torch.randn(16, 8, device="cuda"), torch.randn(16, 1, device="cuda")
    for _ in range(3):
        optimizer.zero_grad()
        with optimizer.sampled_params(), torch.autocast("cuda"):
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_torch_back_end_serves_a_gpu_too():
    p = torch.nn.Parameter(torch.ones(1000, device="cuda"))
    optimizer = NGVI([p], 0.1, ess=100.0, variant="ivon", backend="torch", mc_samples=2)
    for _ in range(3):

        def closure():
            optimizer.zero_grad()
            loss = (p**2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    assert p.isfinite().all()
