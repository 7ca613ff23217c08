import pytest
import torch

from balenas_core.distributions import GaussianDistribution, PointDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GaussianOptions, PointOptions
from balenas_optimizer_baselines._bayes_by_backprop import BayesByBackpropOptimizer
from balenas_optimizer_baselines._options import BayesByBackpropOptions

DECISIONS = (Decision("ops", ("a",), ("x", "y", "z")),)


class QuadraticObjective:
    """1/2 * sum_k d_k * (log(w_k / w_0) - c_k)^2: exactly quadratic in the logits."""

    d = torch.tensor([3.0, 0.5], dtype=torch.float64)
    c = torch.tensor([0.8, -0.4], dtype=torch.float64)
    contrast = torch.tensor([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]], dtype=torch.float64)

    def __call__(self, weights):
        ratios = self.contrast @ weights["ops"][0].log()
        return 0.5 * (self.d * (ratios - self.c).square()).sum()

    @property
    def hessian(self):
        return self.contrast.T @ torch.diag(self.d) @ self.contrast


def _pair(**options):
    distribution = GaussianDistribution(
        GaussianOptions(initial_sigma=0.5),
        decisions=DECISIONS,
        generator=torch.Generator().manual_seed(0),
    ).double()
    optimizer = BayesByBackpropOptimizer(
        BayesByBackpropOptions(**options),
        distribution=distribution,
        dataset_size=20,
        generator=torch.Generator().manual_seed(1),
    )
    return distribution, optimizer


@pytest.mark.parametrize(
    ("options", "effective"),
    [({}, 20.0), ({"temperature": 4.0}, 5.0), ({"ess": 50.0, "prior_precision": 3.0}, 50.0)],
)
def test_it_converges_to_the_closed_form_of_a_quadratic(options, effective):
    # Mean-field optimum of N * L + KL: sigma_i^2 = 1 / (N H_ii + lambda) and
    # (N H + lambda I) mean = N * contrast' D c, with N = ess / temperature.
    objective = QuadraticObjective()
    distribution, optimizer = _pair(lr=0.01, samples=4, beta1=0.9, **options)
    means, log_sigmas = [], []
    for step in range(3000):
        optimizer.step(objective)
        if step >= 1500:
            means.append(distribution.mean["ops"].detach().clone())
            log_sigmas.append(distribution.log_sigma["ops"].detach().clone())
    precision = options.get("prior_precision", 1.0)
    hessian = effective * objective.hessian
    eye = torch.eye(3, dtype=torch.float64)
    target = effective * objective.contrast.T @ (objective.d * objective.c)
    mean = torch.linalg.solve(hessian + precision * eye, target)
    sigma = (hessian.diag() + precision).rsqrt()
    found = torch.stack(means).mean(0)[0], torch.stack(log_sigmas).mean(0)[0].exp()
    torch.testing.assert_close(found[0], mean, rtol=0, atol=0.03)
    torch.testing.assert_close(found[1], sigma, rtol=0.05, atol=0)


def test_the_kl_divergence_is_recorded():
    distribution, optimizer = _pair(prior_precision=2.0)
    assert optimizer.statistics() == {"kl": pytest.approx(distribution.kl(2.0).item())}


def test_a_distribution_that_is_not_gaussian_is_refused():
    point = PointDistribution(
        PointOptions(), decisions=DECISIONS, generator=torch.Generator().manual_seed(0)
    )
    with pytest.raises(TypeError, match="needs the distribution 'gaussian', got PointDistrib"):
        BayesByBackpropOptimizer(
            BayesByBackpropOptions(),
            distribution=point,
            dataset_size=10,
            generator=torch.Generator().manual_seed(0),
        )
