"""Saving, loading, copying and pickling: a resumed run equals an uninterrupted one."""

import copy
import io
import pickle

import pytest
import torch

from balenas_optimizer_ngvi import NGVI, CosineSchedule, SequenceError, StateError


def make(variant="ivon", sizes=((3,), (2, 4)), seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    params = [torch.nn.Parameter(torch.ones(size)) for size in sizes]
    options = {"ess": 50.0, "mc_samples": 2, "antithetic": True} | options
    return params, NGVI(params, 0.1, variant=variant, generator=generator, **options)


def train(params, optimizer, steps):
    for _ in range(steps):

        def closure():
            optimizer.zero_grad()
            loss = sum((p**2).sum() for p in params)
            loss.backward()
            return loss

        optimizer.step(closure)
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_a_resumed_run_equals_an_uninterrupted_one(variant, backend):
    params, optimizer = make(variant, backend=backend)
    train(params, optimizer, 3)
    saved = io.BytesIO()
    torch.save({"p": [p.detach() for p in params], "o": optimizer.state_dict()}, saved)
    expected = train(params, optimizer, 3)

    saved.seek(0)
    loaded = torch.load(saved, weights_only=True)
    fresh, resumed = make(variant, seed=99, backend=backend)
    with torch.no_grad():
        for p, value in zip(fresh, loaded["p"], strict=True):
            p.copy_(value)
    resumed.load_state_dict(loaded["o"])
    torch.testing.assert_close(train(fresh, resumed, 3), expected, rtol=0, atol=0)
    assert resumed.param_groups[0]["step"] == 6


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_a_copy_goes_on_like_the_original_and_apart_from_it(how, variant):
    params, optimizer = make(variant, temperature=CosineSchedule(9, 0.5, 1.0))
    train(params, optimizer, 2)
    pair = (params, optimizer)
    twins, twin = copy.deepcopy(pair) if how == "deepcopy" else pickle.loads(pickle.dumps(pair))
    before = [p.detach().clone() for p in params]
    advanced = train(twins, twin, 2)
    torch.testing.assert_close([p.detach() for p in params], before, rtol=0, atol=0)
    torch.testing.assert_close(train(params, optimizer, 2), advanced, rtol=0, atol=0)


def test_schedules_stay_with_the_loading_optimizer():
    params, optimizer = make(temperature=CosineSchedule(9, 0.5, 1.0))
    train(params, optimizer, 1)
    state = optimizer.state_dict()
    assert state["param_groups"][0]["temperature"] is None
    other = CosineSchedule(4, 0.1, 1.0)
    _, loading = make(temperature=other)
    loading.load_state_dict(state)
    assert loading.param_groups[0]["temperature"] is other
    assert loading.param_groups[0]["step"] == 1


def test_a_state_before_the_first_step_loads():
    _, optimizer = make()
    _, loading = make()
    loading.load_state_dict(optimizer.state_dict())
    assert loading.param_groups[0]["step"] == 0


def test_the_state_of_another_variant_is_refused():
    _, optimizer = make("vadam")
    _, loading = make("ivon")
    with pytest.raises(StateError, match="variant='vadam', this optimizer has variant='ivon'"):
        loading.load_state_dict(optimizer.state_dict())


def test_the_state_of_another_shape_is_refused_and_nothing_changes():
    params, optimizer = make(sizes=((3,), (4, 2)))
    train(params, optimizer, 1)
    own, loading = make()
    train(own, loading, 1)
    before = copy.deepcopy(loading.state_dict())
    with pytest.raises(StateError, match=r"parameter 1 has shape \(4, 2\) in the state"):
        loading.load_state_dict(optimizer.state_dict())
    torch.testing.assert_close(loading.state_dict()["state"], before["state"])


def test_the_state_of_other_groups_is_refused():
    _, optimizer = make(sizes=((3,),))
    _, loading = make()
    with pytest.raises(StateError, match=r"groups of \[1\] parameters, this optimizer of \[2\]"):
        loading.load_state_dict(optimizer.state_dict())


def test_the_state_of_another_optimizer_is_refused():
    params, optimizer = make()
    with pytest.raises(StateError, match="not a state of NGVI"):
        optimizer.load_state_dict(torch.optim.Adam(params).state_dict())


def test_copying_inside_a_sample_is_refused():
    _, optimizer = make()
    with optimizer.sampled_params(), pytest.raises(SequenceError, match="copying"):
        copy.deepcopy(optimizer)
