"""The compiled operators against the PyTorch formulas, on the CPU."""

import importlib.util
import math
import sys
import warnings

import pytest
import torch

import balenas_optimizer_ngvi._native as native
from balenas_optimizer_ngvi import NGVI, OptionError, _formulas, native_status
from balenas_optimizer_ngvi._formulas import StepOptions
from balenas_optimizer_ngvi._noise import NoiseSource

needs_operators = pytest.mark.skipif(
    importlib.util.find_spec("balenas_optimizer_ngvi._cpu") is None, reason="operators not built"
)
SIZES = [(14, 8), (14, 8), (1,), (3,), (0,), (1000, 37), (300, 333)]
RULES = [("vadam", False), ("vadam", True), ("ivon", False), ("ivon", True), ("vogn", True)]
NUMBERS = {"vadam": 0, "ivon": 1, "vogn": 2}


@pytest.fixture(autouse=True)
def loaded():
    native.load_operators()


def lists(dtype=torch.float32):
    """Return parameter, momentum, hess, gradient, noise and positive curvature."""
    generator = torch.Generator().manual_seed(1)

    def make(f):
        return [f(torch.randn(size, generator=generator)).to(dtype) for size in SIZES]

    return (
        make(torch.clone),
        make(lambda x: 0.1 * x),
        make(lambda x: x.abs() + 0.1),
        make(lambda x: 0.1 * x),
        make(torch.clone),
        make(torch.square),
    )


def step_options(**changes):
    values = {
        "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "ess": 100.0, "prior": 0.5,
        "radius": math.inf, "step": 3, "debias": True,
    }  # fmt: skip
    return StepOptions(**(values | changes))


def numbers(o):
    return (o.lr, o.beta1, o.beta2, o.ess, o.prior, o.radius, o.step, o.debias)


def reference(variant, given, options, steps=1):
    """Return the lists after some steps in double precision."""
    p, m, h, g, z, c = lists(torch.float64)
    rule = getattr(_formulas, f"{variant}_")
    for i in range(len(p)):
        for _ in range(steps):
            extra = c[i].clone() if given else z[i] * g[i] if variant == "ivon" else None
            scratch = (torch.empty_like(p[i]), torch.empty_like(p[i]))
            rule(p[i], m[i], h[i], g[i], extra, options, scratch)
    return p, m, h


def extra_list(variant, given, z, c):
    return c if given else z if variant == "ivon" else []


@needs_operators
@pytest.mark.parametrize("radius", [math.inf, 0.5])
@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize(("variant", "given"), RULES)
def test_a_step_equals_the_formulas_in_double_precision(variant, given, radius, debias):
    options = step_options(radius=radius, debias=debias)
    p, m, h, g, z, c = lists()
    torch.ops.balenas_ngvi.step_(
        p, m, h, g, extra_list(variant, given, z, c), NUMBERS[variant], not given, *numbers(options)
    )
    expected = reference(variant, given, options)
    for got, wanted in zip((p, m, h), expected, strict=True):
        for x, y in zip(got, wanted, strict=True):
            torch.testing.assert_close(x.double(), y, rtol=2e-6, atol=2e-6)


@needs_operators
@pytest.mark.parametrize(("variant", "given"), RULES)
def test_twenty_steps_stay_within_1e5(variant, given):
    options = step_options()
    p, m, h, g, z, c = lists()
    for _ in range(20):
        torch.ops.balenas_ngvi.step_(
            p, m, h, g, extra_list(variant, given, z, c), NUMBERS[variant], not given,
            *numbers(options),
        )  # fmt: skip
    for x, y in zip(p, reference(variant, given, options, steps=20)[0], strict=True):
        torch.testing.assert_close(x.double(), y, rtol=1e-5, atol=1e-5)


@needs_operators
def test_a_sample_is_mean_plus_sigma_times_its_noise():
    p, _, h, *_ = lists()
    before = [x.clone() for x in p]
    mean, noise = ([torch.empty_like(x) for x in p] for _ in range(2))
    torch.ops.balenas_ngvi.sample_(p, h, mean, noise, 100.0, 0.5, 1.0, 7)
    for now, old, kept, z, hess in zip(p, before, mean, noise, h, strict=True):
        assert torch.equal(kept, old)
        sigma = (100.0 * hess.double() + 0.5).rsqrt()
        torch.testing.assert_close(now.double(), old + sigma * z, rtol=2e-6, atol=2e-6)


def draw(size, seed=7, sign=1.0, keep=True):
    p, h, mean, noise = (torch.zeros(size) for _ in range(4))
    h.fill_(1.0)
    torch.ops.balenas_ngvi.sample_([p], [h], [mean], [noise] if keep else [], 1.0, 0.0, sign, seed)
    return p


@needs_operators
def test_noise_does_not_depend_on_threads_sizes_or_on_being_kept():
    long = draw(200_001)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert torch.equal(draw(200_001), long)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(draw(1001), long[:1001], rtol=1e-6, atol=1e-6)
    assert torch.equal(draw(200_001, keep=False), long)
    assert torch.equal(draw(200_001, sign=-1.0), -long)
    assert not torch.equal(draw(200_001, seed=8), long)


@needs_operators
def test_tensors_of_one_draw_have_different_noise():
    p, h, mean = ([torch.ones(64), torch.ones(64)] for _ in range(3))
    torch.ops.balenas_ngvi.sample_(p, h, mean, [], 1.0, 0.0, 1.0, 7)
    assert not torch.equal(p[0], p[1])


@needs_operators
@pytest.mark.parametrize("size", [1, 7, 100, 100_003])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_non_finite_value_is_found_anywhere(size, bad):
    ones = torch.ones(50)
    assert torch.ops.balenas_ngvi.all_finite([ones, torch.full((size,), 3e38)])
    for place in {0, size // 2, size - 1}:
        spoilt = torch.ones(size)
        spoilt[place] = bad
        assert not torch.ops.balenas_ngvi.all_finite([ones, spoilt])


@needs_operators
def test_operators_are_registered_as_torch_wants_them():
    p, m, h, g, z, _ = lists()
    step = (p, m, h, g, z, 1, True, *numbers(step_options()))
    torch.library.opcheck(torch.ops.balenas_ngvi.step_.default, step)
    mean = [torch.empty_like(x) for x in p]
    torch.library.opcheck(
        torch.ops.balenas_ngvi.sample_.default, (p, h, mean, [], 100.0, 0.5, 1.0, 7)
    )


@needs_operators
def test_a_compiled_call_gives_the_same():
    def run(p, m, h, g, z):
        torch.ops.balenas_ngvi.step_(p, m, h, g, z, 1, True, *numbers(step_options()))

    plain, compiled = lists()[:5], lists()[:5]
    run(*plain)
    torch.compile(run, fullgraph=True, backend="aot_eager")(*compiled)
    torch.testing.assert_close(compiled, plain)


@needs_operators
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s[3].__setitem__(0, s[3][0].double()), "tensor 0 of list 3 is not float32"),
        (lambda s: s[3].__setitem__(0, s[3][0][:3]), "has 24 elements, expected 112"),
        (lambda s: s[3].__setitem__(0, s[3][0].t().contiguous().t()), "is not contiguous"),
        (lambda s: s[3].pop(), "list 3 has 6 tensors, the first has 7"),
        (lambda s: s.__setitem__(5, 9), "no rule 9"),
        (lambda s: (s.__setitem__(4, []), s.__setitem__(5, 2)), "needs a `curvature` list"),
    ],
)
def test_wrong_arguments_are_refused(spoil, message):
    arguments = [*lists()[:5], 1, True, *numbers(step_options())]
    spoil(arguments)
    with pytest.raises(RuntimeError, match=message):
        torch.ops.balenas_ngvi.step_(*arguments)


@needs_operators
@pytest.mark.parametrize("variant", ["vadam", "ivon"])
@pytest.mark.parametrize("mc_samples", [1, 2])
def test_the_optimizer_follows_the_same_path_on_both_back_ends(variant, mc_samples, monkeypatch):
    def native_noise(out, generator):
        mean, hess, kept = torch.zeros_like(out), torch.ones_like(out), torch.empty_like(out)
        seed = NoiseSource(generator).seed()
        torch.ops.balenas_ngvi.sample_([mean], [hess], [kept], [], 1.0, 0.0, 1.0, seed)
        return out.copy_(mean)

    monkeypatch.setattr("balenas_optimizer_ngvi._bucket.fill", native_noise)

    def run(backend):
        p = torch.nn.Parameter(torch.linspace(-1, 1, 30).view(6, 5))
        optimizer = NGVI(
            [p], 0.05, ess=1e3, variant=variant, hess_init=1.0, mc_samples=mc_samples,
            antithetic=True, backend=backend, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        for _ in range(20):
            optimizer.zero_grad()
            for _ in range(mc_samples):
                with optimizer.sampled_params():
                    (p**4).sum().backward()
            optimizer.step()
        return p.detach(), optimizer.state[p]["hess"]

    torch.testing.assert_close(run("native"), run("torch"), rtol=1e-5, atol=1e-5)


def test_demanding_native_code_where_it_cannot_serve_is_refused():
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = NGVI([p], 0.1, ess=10.0, backend="native")
    with pytest.raises(OptionError, match=r"native_status\(\)"):
        optimizer.posterior(p)


def test_status_says_which_back_end_serves_and_why():
    status = native_status()
    assert status.cpu in ("native", "torch")
    assert status.cuda in ("native", "torch", "none")
    assert status.cpu_reason
    assert status.cuda_reason


@pytest.fixture
def forget():
    """Forget what was loaded, before and after."""
    functions = (native._load, native.load_operators, native.load_cuda_operators)
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


def unavailable(error):
    def fail(name):
        raise error

    return fail


def test_without_operators_the_torch_back_end_serves(monkeypatch, forget):
    monkeypatch.setattr(native.importlib, "import_module", unavailable(ModuleNotFoundError("no")))
    assert native_status().cpu == "torch"
    assert "NGVI_BUILD" in native_status().cpu_reason
    assert not native.serves(torch.device("cpu"), torch.float32)


def test_operators_that_do_not_load_are_reported_once_and_replaced(monkeypatch, forget):
    broken = ImportError("undefined symbol: x")
    monkeypatch.setattr(native.importlib, "import_module", unavailable(broken))
    with pytest.warns(RuntimeWarning, match="undefined symbol"):
        assert not native.serves(torch.device("cpu"), torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not native.serves(torch.device("cpu"), torch.float32)
    assert native_status().cpu_reason.startswith("built, but does not load: ImportError")


@needs_operators
def test_the_modules_use_the_stable_interface_of_python():
    spec = importlib.util.find_spec("balenas_optimizer_ngvi._cpu")
    assert spec.origin.endswith(".abi3.so") or not sys.platform.startswith("linux")
