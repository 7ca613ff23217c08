"""Parameters of all sizes and memory layouts give what contiguous small ones give."""

import pytest
import torch

from balenas_optimizer_ngvi import NGVI, _pieces
from balenas_optimizer_ngvi._layout import is_dense, linear, linear_like


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


def transposed(x):
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def gappy(x):
    return torch.stack([x, x], dim=-1)[..., 0]


LAYOUTS = {
    "contiguous": torch.clone,
    "channels last": channels_last,
    "transposed": transposed,
    "gappy": gappy,
}


def run(layout, *, backend, variant, gradient_layout=torch.clone, mc_samples=1):
    generator = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(4, 3, 5, 2, generator=generator) for _ in range(2))
    others = [torch.nn.Parameter(torch.ones(7)) for _ in range(2)]
    p = torch.nn.Parameter(layout(start))
    # With sigma ~ 0, layouts that consume noise in another order give the same result.
    optimizer = NGVI(
        [others[0], p, others[1]],
        0.1,
        ess=1e12,
        variant=variant,
        hess_init=1.0,
        backend=backend,
        mc_samples=mc_samples,
    )
    for _ in range(3):
        for _ in range(mc_samples):
            with optimizer.sampled_params():
                p.grad = gradient_layout(gradient)
                others[0].grad = torch.ones(7)
        optimizer.step()
    assert optimizer.state[p]["momentum"].shape == p.shape
    return p.detach().contiguous(), optimizer.state[p]["momentum"].contiguous()


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
def test_layouts_of_parameter_and_gradient_do_not_matter(layout, gradient_layout, backend, variant):
    expected = run(torch.clone, backend="torch", variant="vadam")
    got = run(
        LAYOUTS[layout],
        backend=backend,
        variant="vadam",
        gradient_layout=LAYOUTS[gradient_layout],
        mc_samples=1 if variant == "vadam" else 2,
    )
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_cutting_into_pieces_does_not_matter(variant, monkeypatch):
    def result(limit):
        monkeypatch.setattr("balenas_optimizer_ngvi._bucket.CPU_PIECE", limit)
        # The order of the noise does depend on the pieces, so it is replaced.
        monkeypatch.setattr("balenas_optimizer_ngvi._bucket.fill", lambda out, _: out.fill_(0.5))
        generator = torch.Generator().manual_seed(0)
        sizes = [(5,), (16, 8), (3,), (1,), (0,), (1000,), (2,)]
        params = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in sizes]
        optimizer = NGVI(params, 0.1, ess=1e12, hess_init=1.0, variant=variant, backend="torch")
        for step in range(4):
            with optimizer.sampled_params():
                for k, p in enumerate(params):
                    skipped = step == 2 and k in (1, 5)
                    p.grad = None if skipped else torch.randn(p.shape, generator=generator)
            optimizer.step()
        return [p.detach() for p in params]

    expected = result(1 << 16)
    for limit in (4, 64, 500):
        torch.testing.assert_close(result(limit), expected, rtol=1e-5, atol=1e-6)


def test_cut_covers_every_element_once_and_without_gaps():
    sizes = [5, 128, 3, 1, 1000, 2]
    tensors = [torch.zeros(size) for size in sizes]
    offsets, total = [], 0
    for size in sizes:
        offsets.append(total)
        total += -(-size // 4) * 4
    for limit in (4, 64, 500, 10_000):
        seen = [torch.zeros(size) for size in sizes]
        for run_ in _pieces.cut(tensors, offsets, range(len(sizes)), limit):
            assert sum(part.stop - part.first for part in run_) <= limit
            for part in run_:
                seen[part.index][part.first : part.stop] += 1
        torch.testing.assert_close(seen, [torch.ones(size) for size in sizes])


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed"])
def test_dense_layouts_have_an_alias_in_memory_order(layout):
    tensor = LAYOUTS[layout](torch.arange(24.0).view(2, 3, 2, 2))
    assert is_dense(tensor)
    assert linear(tensor).data_ptr() == tensor.data_ptr()
    gradient = torch.arange(24.0).view(2, 3, 2, 2)
    torch.testing.assert_close(linear_like(gradient, tensor).flatten(), linear(tensor).flatten())


def test_gaps_and_overlaps_are_not_dense():
    assert not is_dense(gappy(torch.zeros(3, 4)))
    assert not is_dense(torch.zeros(3, 1).expand(3, 4))
