"""Cells that are computed again, or compiled, inside a whole search."""

import functools
import logging

import pytest
import torch
from torch import nn

from balenas_core import Search
from balenas_core.config import SearchConfig
from balenas_core.engine.cells import compile_cells
from balenas_core.errors import SearchInterrupted, UsageError
from balenas_core.interfaces.events import StepEnded
from balenas_core.interfaces.recompute import run_recomputed
from balenas_core.interfaces.space import Supernet
from balenas_core.testing import ToySpace, toy_config, toy_plugin, toy_registry


class _Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.2)

    def forward(self, x, row):
        return row[1] * x + row[2] * torch.relu(self.drop(self.norm(self.conv(x))))


class _CellSupernet(Supernet):
    def __init__(self, task):
        super().__init__()
        self.stem = nn.Conv2d(task.input_shape[0], 4, 1)
        self.cells = nn.ModuleList(_Cell() for _ in range(2))
        self.classifier = nn.Linear(4, task.num_classes)

    @property
    def cell_modules(self):
        return tuple(self.cells)

    def forward(self, x, weights):
        x = self.stem(x)
        for cell, row in zip(self.cells, weights["operations"], strict=True):
            x = self.run_cell(cell, x, row)
        return self.classifier(x.mean((2, 3)))


class _CellSpace(ToySpace):
    def supernet(self, task):
        return _CellSupernet(task)

    def inherit(self, supernet, architecture):
        task = type("Task", (), {"input_shape": (supernet.stem.in_channels, 1, 1)})()
        task.num_classes = supernet.classifier.out_features
        return self.network(architecture, task)


@pytest.fixture
def make():
    registry = toy_registry()
    registry.add("celled", toy_plugin("space", _CellSpace))
    return registry, functools.partial(toy_config, registry, space="celled")


def _trace(registry, config, **kwargs):
    result = Search(config, registry=registry).run(**kwargs)
    return [{k: v for k, v in m.items() if k != "seconds"} for m in result.metrics]


def test_a_search_with_recomputed_cells_is_the_same_to_the_bit(make):
    registry, config = make
    plain = _trace(registry, config())
    assert _trace(registry, config(training={"epochs": 2, "checkpoint_cells": True})) == plain


def test_a_search_with_recomputed_cells_goes_on_to_the_bit(make, tmp_path):
    registry, config = make
    training = {"epochs": 2, "checkpoint_cells": True}
    expected = _trace(registry, config(training=training))
    search = Search(config(training=training, output=tmp_path / "run"), registry=registry)

    def stop(event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (1, 1):
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    again = Search.of_run(tmp_path / "run", registry=registry).run(resume="must")
    assert [{k: v for k, v in m.items() if k != "seconds"} for m in again.metrics] == expected


@pytest.mark.parametrize("training", [{"checkpoint_cells": True}, {"compile": "cells"}])
def test_a_space_without_cells_refuses_their_options(make, training):
    registry, _ = make
    config = toy_config(registry, training={"epochs": 1, **training})
    with pytest.raises(UsageError, match=rf"training\.{next(iter(training))} acts on cells"):
        Search(config, registry=registry).run()


def test_recomputed_cells_move_running_statistics_once_and_draw_the_same_numbers():
    torch.manual_seed(0)
    cell, row = _Cell(), torch.tensor([0.2, 0.3, 0.5])
    x = torch.randn(8, 4, 3, 3, requires_grad=True)
    outcomes = []
    for run in (lambda *inputs: cell(*inputs), functools.partial(run_recomputed, cell)):
        cell.zero_grad()
        cell.norm.reset_running_stats()
        x.grad = None
        with torch.random.fork_rng():
            run(x, row).square().sum().backward()
        grads = [p.grad.clone() for p in cell.parameters()]
        outcomes.append([x.grad.clone(), *grads, *(b.clone() for b in cell.buffers())])
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=0, atol=0)
    assert cell.norm.num_batches_tracked == 1


def test_parameters_that_need_no_gradient_in_the_call_alone():
    torch.manual_seed(0)
    cell, x = _Cell(), torch.randn(8, 4, 3, 3)
    gradients = []
    for run in (cell, functools.partial(run_recomputed, cell)):
        row = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
        cell.requires_grad_(False)
        with torch.random.fork_rng():
            out = run(x, row)
        cell.requires_grad_(True)
        out.square().sum().backward()
        gradients.append(row.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    assert all(p.grad is None and p.requires_grad for p in cell.parameters())


def test_curvature_goes_through_recomputed_cells():
    torch.manual_seed(0)
    cell = _Cell().double().eval()
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    products = []
    for run in (cell, functools.partial(run_recomputed, cell)):
        row = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(run(x, row).pow(4).sum(), row, create_graph=True)
        products.append(torch.autograd.grad(gradient.square().sum(), row)[0])
    torch.testing.assert_close(products[0], products[1])


def test_without_a_compiler_cells_stay_as_they_are_with_a_warning(caplog):
    from torch._inductor import config  # which takes a second to import

    cell = _Cell()
    missing = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with caplog.at_level(logging.WARNING), missing:
        compile_cells([cell], torch.device("cpu"))
    assert cell._compiled_call_impl is None
    assert "training.compile is left out" in caplog.text
    assert "Install a C++ compiler" in caplog.text


def test_compiling_is_off_or_of_cells():
    with pytest.raises(ValueError, match="compile"):
        SearchConfig.model_validate({"training": {"compile": "all"}})


@pytest.mark.slow
# What torch's compiler warns of is its own.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_compiled_search_learns_and_goes_on_to_the_bit(make, tmp_path, caplog):
    registry, config = make
    training = {"epochs": 2, "compile": "cells"}
    first = _trace(registry, config(training=training))
    assert "training.compile is left out" not in caplog.text
    plain = _trace(registry, config())
    assert first[-1]["train_loss"] == pytest.approx(plain[-1]["train_loss"], rel=0.2)
    search = Search(config(training=training, output=tmp_path / "run"), registry=registry)
    search._listeners.append(lambda event: search.request_stop())
    with pytest.raises(SearchInterrupted):
        search.run()
    assert _trace(registry, config(training=training, output=tmp_path / "run"), resume="must") == (
        first
    )
