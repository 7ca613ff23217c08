from pathlib import Path

import numpy as np
import pytest
import torch

from balenas_core.errors import DataError
from balenas_core.interfaces.space import Task
from balenas_space_nb1shot1 import (
    NB1Shot1Benchmark,
    NB1Shot1Options,
    NB1Shot1Space,
    NB101Cell,
    NB101Network,
    module_hash,
    to_nb101,
)
from balenas_space_nb1shot1._architecture import position
from balenas_space_nb1shot1._nb101 import vertex_channels
from balenas_space_nb1shot1._topology import TOPOLOGIES

CIFAR = Task((3, 32, 32), 10)
DATA = Path(__file__).parents[5] / "shared" / "data"

needs_data = pytest.mark.skipif(
    not (DATA / "nb101.npz").exists(), reason="needs nb101.npz, which is not distributed"
)


@pytest.fixture(scope="module")
def table():
    with np.load(DATA / "nb101.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def cell_of(table, row):
    count, bits = int(table["V"][row]), int(table["bits"][row])
    matrix = [
        [bits >> (x + y * (y - 1) // 2) & 1 if x < y else 0 for y in range(count)]
        for x in range(count)
    ]
    names = [str(table["op_names"][k]) for k in table["ops"][row][: count - 2]]
    return NB101Cell(tuple(map(tuple, matrix)), tuple(names))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_supernet_of_s1_has_1101402_weights():
    space = NB1Shot1Space(NB1Shot1Options(channels=16, cells=9))
    assert count(space.supernet(CIFAR)) == 1_101_402


def test_channels_of_a_cell_are_shared_by_the_vertices_before_the_output():
    # Vertices 1, 3 and 4 lead to the output: 128 = 43 + 43 + 42; vertex 2 leads to 3 and 4.
    matrix = np.zeros((6, 6), dtype=int)
    for source, target in [(0, 1), (0, 2), (2, 3), (2, 4), (1, 5), (3, 5), (4, 5)]:
        matrix[source, target] = 1
    cell = NB101Cell(tuple(map(tuple, matrix.tolist())), ("maxpool3x3",) * 4)
    assert vertex_channels(cell, 64, 128) == [64, 43, 43, 43, 42, 128]


@needs_data
def test_hash_orders_the_rows_of_nas_bench_101(table):
    rows = [*range(50), *range(0, len(table["V"]), 9973)]
    hashes = [module_hash(cell_of(table, row)) for row in rows]
    assert hashes[:50] == sorted(hashes[:50])
    assert hashes[50:] == sorted(hashes[50:])


@needs_data
def test_parameters_are_those_of_nas_bench_101(table):
    for row in range(7, len(table["V"]), 50_021):
        network = NB101Network(cell_of(table, row), CIFAR, channels=128, cells=9)
        assert count(network) == table["params"][row]


@needs_data
@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_configurations_are_the_rows_of_the_index(table, name):
    with np.load(DATA / "nb1shot1_index.npz") as arrays:
        rows = arrays[name]
    generator = torch.Generator().manual_seed(0)
    space = NB1Shot1Space(NB1Shot1Options(space=name))
    for _ in range(30):
        architecture = space.random(generator)
        expected = module_hash(cell_of(table, rows[position(architecture, space.topology)]))
        assert module_hash(to_nb101(architecture).pruned()) == expected


@needs_data
@pytest.mark.parametrize(
    ("name", "best_run", "cells"),
    [("s1", 5.449, 2_685), ("s2", 5.759, 7_773), ("s3", 5.339, 55_854)],
)
def test_best_mean_test_error_is_near_the_papers_best_run(name, best_run, cells):
    space = NB1Shot1Space(NB1Shot1Options(space=name, benchmark_folder=DATA))
    benchmark = space.benchmark()
    values = benchmark.values("cifar10", "test_accuracy")
    assert best_run < 100 - values.max() < best_run + 0.5
    with np.load(DATA / "nb1shot1_index.npz") as arrays:
        assert len(np.unique(arrays[name])) == cells
    architecture = space.random(torch.Generator().manual_seed(0))
    entry = benchmark.query(architecture, "cifar10")
    same = benchmark.query(space.canonical(architecture), "cifar10")
    assert entry.total == TOPOLOGIES[name].size()
    assert entry.value == same.value


def test_space_has_no_benchmark_unless_a_folder_is_named():
    assert NB1Shot1Space(NB1Shot1Options()).benchmark() is None


def test_benchmark_files_are_checked(tmp_path):
    benchmark = NB1Shot1Benchmark(tmp_path, TOPOLOGIES["s1"])
    with pytest.raises(DataError, match=r"no 'accuracy' on 'cifar10'; it has test_accuracy"):
        benchmark.values("cifar10", "accuracy")
    with pytest.raises(DataError, match="means over seeds only; got seed 1"):
        benchmark.values("cifar10", "test_accuracy", seed=1)
    with pytest.raises(DataError, match=r"cannot read .*Set the option benchmark_folder"):
        benchmark.values("cifar10", "test_accuracy")
    (tmp_path / "nb1shot1_index.npz").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"cannot read "):
        benchmark.values("cifar10", "test_accuracy")
    np.savez(tmp_path / "nb1shot1_index.npz", s1=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"cannot read .*allow_pickle"):
        benchmark.values("cifar10", "test_accuracy")
    np.savez(tmp_path / "nb1shot1_index.npz", s1=np.arange(5))
    np.savez(tmp_path / "nb101.npz", other=np.arange(5))
    with pytest.raises(DataError, match="has no array 'test_sum_29952'"):
        benchmark.values("cifar10", "test_accuracy")
    np.savez(tmp_path / "nb101.npz", test_sum_29952=np.arange(5))
    with pytest.raises(DataError, match="the two files do not belong together"):
        benchmark.values("cifar10", "test_accuracy")


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_supernet_at_one_hot_equals_the_inherited_network(name, is_training):
    generator = torch.Generator().manual_seed(0)
    space = NB1Shot1Space(NB1Shot1Options(space=name, channels=3))
    supernet = space.supernet(Task((3, 9, 8), 4)).double().train(is_training)
    x = torch.randn(4, 3, 9, 8, generator=generator, dtype=torch.float64)
    for _ in range(4):
        architecture = space.random(generator)
        expected = space.inherit(supernet, architecture)(x)
        torch.testing.assert_close(
            supernet(x, space.one_hot(architecture)), expected, rtol=1e-12, atol=1e-12
        )
