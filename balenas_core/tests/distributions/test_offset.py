import copy
import math

import pytest
import torch

from balenas_core import default_registry
from balenas_core.errors import UsageError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.space import Decision

DECISIONS = (Decision("cell", ("a", "b"), ("x", "y", "z")), Decision("edges", ("n",), ("0", "1")))
OFFSET = {"cell": torch.tensor([[1.0, -0.5, -0.5], [0.0, 0.7, -0.7]])}
NAMES = ["gaussian", "point", "gumbel_softmax", "dirichlet"]


def build(name, *, with_offset=True, **options):
    plugin = default_registry().find("distribution", name)
    found = plugin.build(
        plugin.load().options(**{"initial_scale": 0.0, **options}),
        decisions=DECISIONS,
        generator=torch.Generator().manual_seed(3),
    )
    if with_offset:
        found.set_offset(OFFSET)
    return found


@pytest.mark.parametrize("name", NAMES[:3])
def test_mean_weights_begin_at_the_softmax_of_the_offset(name):
    weights = build(name).mean_weights()
    torch.testing.assert_close(weights["cell"], OFFSET["cell"].softmax(-1))
    torch.testing.assert_close(weights["edges"], torch.tensor([[0.5, 0.5]]))


def test_a_dirichlet_begins_at_the_concentration_of_the_offset():
    found = build("dirichlet").concentration()
    expected = torch.nn.functional.elu(OFFSET["cell"]) + 1
    torch.testing.assert_close(found["cell"], expected)
    torch.testing.assert_close(found["edges"], torch.ones(1, 2))


@pytest.mark.parametrize("name", NAMES)
def test_draws_follow_the_offset(name):
    found, generator = build(name), torch.Generator().manual_seed(0)
    with torch.no_grad():
        draws = [found.draw_weights(generator)["cell"].argmax(-1) for _ in range(600)]
    share = (torch.stack(draws)[:, 0] == 0).float().mean()
    assert share > 0.5  # a third without


@pytest.mark.parametrize("name", NAMES)
def test_what_an_optimizer_sees_is_as_without_an_offset(name):
    plain, found = build(name, with_offset=False), build(name)
    assert [n for n, _ in found.named_parameters()] == [n for n, _ in plain.named_parameters()]
    for one, other in zip(found.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_without_an_offset_has_no_place_for_one(name):
    plain = build(name, with_offset=False)
    assert not [key for key in plain.state_dict() if "offset" in key]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_state_brings_its_offset_along(name, dtype):
    source = build(name, initial_scale=1.0).to(dtype=dtype)
    target = build(name, with_offset=False).to(dtype=dtype)
    target.load_state_dict(source.state_dict())
    for found, expected in zip(
        target.mean_weights().values(), source.mean_weights().values(), strict=True
    ):
        assert found.dtype == dtype
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_takes_a_state_by_itself(name):
    original = build(name, with_offset=False)
    copied = copy.deepcopy(original)
    copied.load_state_dict(build(name).state_dict())
    assert copied.offset.values is not None
    assert original.offset.values is None


@pytest.mark.parametrize("name", NAMES)
def test_a_state_without_the_offset_is_of_something_else(name):
    with pytest.raises(RuntimeError, match="offset"):
        build(name).load_state_dict(build(name, with_offset=False).state_dict())


def test_the_kl_of_a_gaussian_is_to_the_informed_prior():
    plain, found = build("gaussian", with_offset=False), build("gaussian")
    assert torch.equal(found.kl(1.0), plain.kl(1.0))
    assert found.kl(1.0).item() == pytest.approx(0, abs=1e-6)


def test_the_kl_of_categoricals_is_to_the_softmax_of_the_offset():
    found = build("gumbel_softmax", initial_scale=1.0)
    p = {name: weights.double() for name, weights in found.mean_weights().items()}
    prior = {"cell": OFFSET["cell"].double().softmax(-1), "edges": torch.full((1, 2), 0.5)}
    expected = sum((p[name] * (p[name] / prior[name]).log()).sum().item() for name in p)
    uniform = 2 * math.log(3) + math.log(2)
    kl = uniform - found.entropy().item() - found.prior_log_ratio().item()
    assert kl == pytest.approx(expected, abs=1e-5)


def test_the_kl_of_categoricals_without_an_offset_is_to_the_uniform_one():
    assert build("gumbel_softmax", with_offset=False).prior_log_ratio().item() == 0


@pytest.mark.parametrize("anchor", ["l2", "kl"])
def test_the_anchor_of_a_dirichlet_is_where_it_begins(anchor):
    found = build("dirichlet", anchor=anchor, anchor_scale=1.0)
    loss = found.regularizer()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    loss.backward()
    for alpha in found.alpha.values():
        torch.testing.assert_close(alpha.grad, torch.zeros_like(alpha), atol=1e-5, rtol=0)


def test_the_kl_of_a_dirichlet_to_ones_is_that_to_the_uniform_one():
    plain = build("dirichlet", with_offset=False, initial_scale=1.0)
    zero = build("dirichlet", with_offset=False, initial_scale=1.0)
    zero.set_offset({})
    torch.testing.assert_close(zero.kl(), plain.kl())


@pytest.mark.parametrize("name", ["point", "gumbel_softmax"])
def test_probabilities_entropy_and_statistics_are_of_the_whole_logits(name):
    found = build(name)
    p = OFFSET["cell"].softmax(-1)
    entropy = -(p * p.log()).sum().item() + math.log(2)
    assert found.entropy().item() == pytest.approx(entropy, abs=1e-5)
    assert found.statistics()["weights_entropy"] == pytest.approx(entropy / 3, abs=1e-5)
    draw = {"cell": torch.tensor([[1.0, 0, 0], [0, 0, 1]]), "edges": torch.tensor([[1.0, 0]])}
    expected = (p[0, 0] * p[1, 2] * 0.5).log().item()
    assert found.log_prob(draw).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "offset", [{"cell": torch.zeros(2, 2)}, {"no": torch.zeros(2, 3)}], ids=["shape", "name"]
)
def test_an_offset_of_other_decisions_is_refused(offset):
    with pytest.raises(ValueError, match="must have the shape of a decision"):
        build("point").set_offset(offset)


class _Plain(ArchitectureDistribution):
    def weights(self, generator):
        return self.mean_weights()

    def mean_weights(self):
        return {d.name: torch.full(d.shape, 1 / d.shape[1]) for d in self.decisions}

    def draw_weights(self, generator):
        return self.mean_weights()

    def entropy(self):
        return torch.zeros(())


def test_a_distribution_without_logits_refuses_an_offset():
    with pytest.raises(UsageError, match="_Plain takes no offset of its logits; leave modifiers"):
        _Plain(DECISIONS).set_offset(OFFSET)
