import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.engine.curvature import curvature


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _quadratic(eigenvalues, seed=0):
    """Return a loss with these Hessian eigenvalues in a random basis, and its parameters."""
    size = len(eigenvalues)
    random = torch.randn(size, size, dtype=torch.float64, generator=_generator(seed))
    basis, _ = torch.linalg.qr(random)
    hessian = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    x = torch.randn(size, dtype=torch.float64, generator=_generator(seed + 1)).requires_grad_()
    return 0.5 * x @ hessian @ x, [x]


def _network_loss():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parameters = [torch.randn(2, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)]
        data = torch.randn(5, 2, dtype=torch.float64)

    def loss(matrix, vector):
        return (torch.tanh(data @ matrix.softmax(-1)) @ vector).square().mean() + vector.sin().sum()

    return loss, [p.requires_grad_() for p in parameters]


def _exact_hessian(loss, parameters):
    blocks = torch.autograd.functional.hessian(loss, tuple(p.detach() for p in parameters))
    rows = [
        torch.cat([block.reshape(p.numel(), -1) for block in row], dim=1)
        for p, row in zip(parameters, blocks, strict=True)
    ]
    return torch.cat(rows)


@pytest.mark.parametrize(
    "eigenvalues", [[5.0, 1.0, -2.0], [1.0, 0.5, -4.0], [-1.0, -2.0, -3.0], [2.0, 2.0, 2.0]]
)
def test_the_top_eigenvalue_of_a_known_hessian(eigenvalues):
    loss, x = _quadratic(eigenvalues)
    found = curvature(loss, x, generator=_generator(3), iterations=200, samples=1)
    assert found.top_eigenvalue == pytest.approx(max(eigenvalues), rel=1e-6)


def test_the_top_eigenvalue_equals_that_of_the_exact_hessian():
    loss, parameters = _network_loss()
    found = curvature(
        loss(*parameters), parameters, generator=_generator(), iterations=300, samples=1
    )
    exact = torch.linalg.eigvalsh(_exact_hessian(loss, parameters)).max().item()
    assert found.top_eigenvalue == pytest.approx(exact, rel=1e-6)


def test_the_trace_estimate_is_unbiased():
    loss, parameters = _network_loss()
    exact = _exact_hessian(loss, parameters)
    samples = 4000
    found = curvature(
        loss(*parameters), parameters, generator=_generator(1), iterations=1, samples=samples
    )
    # Variance of Hutchinson's estimator with random signs: 2 * sum of squares off the diagonal.
    off_diagonal = exact - torch.diag(exact.diag())
    error = (2 * off_diagonal.square().sum() / samples).sqrt().item()
    assert abs(found.trace - exact.trace().item()) < 4 * error
    assert abs(exact.trace().item()) > 4 * error


def test_one_random_vector_gives_the_exact_trace_of_a_diagonal_hessian():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    loss = (torch.tensor([1.0, -2.0, 7.0], dtype=torch.float64) * x.square()).sum() / 2
    found = curvature(loss, [x], generator=_generator(), iterations=1, samples=1)
    assert found.trace == pytest.approx(6.0)


def test_parameters_that_the_loss_does_not_depend_on_are_flat():
    loss, x = _quadratic([3.0, 1.0])
    unused = torch.ones(4, requires_grad=True)
    found = curvature(loss, [*x, unused], generator=_generator(), iterations=100, samples=1)
    assert found.top_eigenvalue == pytest.approx(3.0)


def test_a_linear_loss_has_no_curvature():
    x = torch.ones(3, requires_grad=True)
    found = curvature(x.sum(), [x], generator=_generator(), iterations=5, samples=2)
    assert (found.top_eigenvalue, found.trace) == (0.0, 0.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6), st.floats(0.1, 10))
def test_curvature_scales_with_the_loss(eigenvalues, factor):
    results = []
    for scale in (1.0, factor):
        loss, x = _quadratic(eigenvalues)
        results.append(curvature(scale * loss, x, generator=_generator(), iterations=20, samples=2))
    assert results[1].top_eigenvalue == pytest.approx(
        factor * results[0].top_eigenvalue, rel=1e-6, abs=1e-9
    )
    assert results[1].trace == pytest.approx(factor * results[0].trace, rel=1e-6, abs=1e-9)
