import torch
from hypothesis import given, strategies as st

from balenas_core.random import derive_seed, generator, seeded


@given(st.integers(0, 2**63 - 1), st.text(), st.text())
def test_derived_seeds_are_valid_and_differ_by_name(seed, one, other):
    assert 0 <= derive_seed(seed, one) < 2**63
    assert (derive_seed(seed, one) == derive_seed(seed, other)) == (one == other)


def test_derived_seeds_are_stable_across_processes():
    assert derive_seed(0, "weights") == 7388263408636359099


def test_generators_of_one_name_agree():
    draws = [torch.rand(3, generator=generator(1, "data")) for _ in range(2)]
    assert torch.equal(draws[0], draws[1])


def test_seeded_blocks_agree_and_restore_the_global_state():
    before = torch.get_rng_state()
    with seeded(7):
        one = torch.rand(3)
    with seeded(7):
        other = torch.rand(3)
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
