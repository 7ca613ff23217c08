import math

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from balenas_core.distributions import GumbelSoftmaxDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GumbelSoftmaxOptions

DECISIONS = (
    Decision("normal", ("a", "b"), ("x", "y", "z")),
    Decision("reduce", ("a",), ("x", "y")),
)


def _distribution(dtype=torch.float64, **options):
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(**options),
        decisions=DECISIONS,
        generator=torch.Generator().manual_seed(0),
    ).to(dtype)
    with torch.no_grad():
        distribution.logits["normal"].copy_(torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]))
        distribution.logits["reduce"].copy_(torch.tensor([[0.5, -0.5]]))
    return distribution


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("hard", [False, True])
def test_every_row_of_a_draw_is_on_the_simplex(dtype, hard):
    weights = _distribution(dtype, hard=hard).weights(_generator())
    assert set(weights) == {"normal", "reduce"}
    for value in weights.values():
        assert value.dtype is dtype
        assert (value >= 0).all()
        torch.testing.assert_close(value.sum(-1), torch.ones_like(value.sum(-1)))


def test_hard_weights_are_exact_zeros_and_ones():
    distribution = _distribution(torch.float32, hard=True, temperature_start=3.0)
    for seed in range(50):
        for value in distribution.weights(_generator(seed)).values():
            assert set(value.detach().flatten().tolist()) == {0.0, 1.0}
            assert (value.sum(-1) == 1).all()


def test_the_hard_draw_is_the_argmax_of_the_soft_draw():
    soft = _distribution(hard=False).weights(_generator(3))
    hard = _distribution(hard=True).weights(_generator(3))
    for name, value in soft.items():
        assert (value.argmax(-1) == hard[name].argmax(-1)).all()


def test_the_gradient_of_a_hard_draw_is_that_of_the_soft_draw():
    coefficients = torch.tensor([[0.3, -1.0, 2.0], [1.0, 0.1, 0.7]], dtype=torch.float64)
    gradients = []
    for hard in (False, True):
        distribution = _distribution(hard=hard, temperature_start=0.7)
        (coefficients * distribution.weights(_generator(1))["normal"]).sum().backward()
        gradients.append(distribution.logits["normal"].grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    assert (gradients[0] != 0).all()  # also the logits of operations that were not chosen


def test_the_straight_through_gradient_equals_finite_differences_of_the_relaxation():
    coefficients = torch.tensor([[0.3, -1.0, 2.0], [1.0, 0.1, 0.7]], dtype=torch.float64)
    distribution = _distribution(hard=True, temperature_start=0.7)
    (coefficients * distribution.weights(_generator(1))["normal"]).sum().backward()
    relaxed, eps = _distribution(hard=False, temperature_start=0.7), 1e-6
    logits = relaxed.logits["normal"]
    expected = torch.zeros_like(logits)
    for index in range(logits.numel()):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                logits.view(-1)[index] += sign * eps
                values.append((coefficients * relaxed.weights(_generator(1))["normal"]).sum())
                logits.view(-1)[index] -= sign * eps
        expected.view(-1)[index] = (values[0] - values[1]) / (2 * eps)
    torch.testing.assert_close(distribution.logits["normal"].grad, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("hard", [False, True])
def test_the_argmax_of_draws_has_the_probabilities_of_softmax(hard):
    # Gumbel-max: at any temperature the largest weight is a draw from softmax(logits).
    distribution = _distribution(hard=hard, temperature_start=0.5)
    generator = _generator(7)
    counts = torch.zeros(3)
    for _ in range(4000):
        counts[distribution.weights(generator)["normal"][1].argmax()] += 1
    expected = 4000 * torch.softmax(torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64), -1)
    assert chisquare(counts.double().numpy(), expected.numpy()).pvalue > 0.01


def test_samples_have_the_probabilities_that_log_prob_gives():
    distribution = _distribution()
    generator = _generator(11)
    counts: dict[tuple[int, ...], int] = {}
    probability = {}
    for _ in range(6000):
        draw = distribution.sample(generator)
        key = tuple(int(i) for w in draw.values() for i in w.argmax(-1))
        counts[key] = counts.get(key, 0) + 1
        probability[key] = distribution.log_prob(draw).exp().item()
    assert len(counts) == 3 * 3 * 2
    assert sum(probability.values()) == pytest.approx(1.0)
    expected = [6000 * probability[key] for key in counts]
    assert chisquare(list(counts.values()), expected).pvalue > 0.01


def test_the_log_probability_of_an_excluded_choice_leaves_the_others_finite():
    distribution = _distribution()
    with torch.no_grad():
        distribution.logits["reduce"].copy_(torch.tensor([[0.0, -math.inf]]))
        draw = distribution.sample(_generator())
    assert draw["reduce"].tolist() == [[1.0, 0.0]]
    assert distribution.log_prob(draw).isfinite()


def test_entropy_of_uniform_choices_is_the_log_of_their_number():
    distribution = _distribution()
    with torch.no_grad():
        for logits in distribution.logits.values():
            logits.zero_()
    assert distribution.entropy().item() == pytest.approx(2 * math.log(3) + math.log(2))


def test_entropy_equals_minus_the_mean_log_probability():
    distribution = _distribution()
    one_hots = {
        n: torch.eye(w.shape[1], dtype=torch.float64) for n, w in distribution.logits.items()
    }
    total = 0.0
    for i in range(3):
        for j in range(3):
            for k in range(2):
                draw = {
                    "normal": one_hots["normal"][[i, j]],
                    "reduce": one_hots["reduce"][[k]],
                }
                log_p = distribution.log_prob(draw).item()
                total -= math.exp(log_p) * log_p
    assert distribution.entropy().item() == pytest.approx(total)


@pytest.mark.parametrize(
    ("schedule", "middle"), [("linear", 5.05), ("exponential", math.sqrt(10 * 0.1))]
)
def test_the_temperature_goes_from_start_to_end(schedule, middle):
    distribution = _distribution(
        temperature_start=10, temperature_end=0.1, temperature_schedule=schedule
    )
    seen = []
    for fraction in (0.0, 0.5, 1.0):
        distribution.set_progress(fraction)
        seen.append(distribution.statistics()["temperature"])
    assert seen == pytest.approx([10, middle, 0.1])


def test_the_temperature_is_part_of_the_state():
    first, second = _distribution(), _distribution()
    first.set_progress(0.4)
    second.load_state_dict(first.state_dict())
    a, b = (d.weights(_generator(2))["normal"] for d in (first, second))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_low_temperature_gives_nearly_one_hot_weights_and_finite_gradients():
    distribution = _distribution(torch.float32, temperature_start=1e-3, temperature_end=1e-3)
    weights = distribution.weights(_generator())["normal"]
    weights.square().sum().backward()
    assert (weights.max(-1).values > 0.999).all()
    assert distribution.logits["normal"].grad.isfinite().all()


def test_a_rising_temperature_is_refused():
    with pytest.raises(ValidationError, match=r"temperature_end \(2.0\) must be at most"):
        GumbelSoftmaxOptions(temperature_start=1.0, temperature_end=2.0)
