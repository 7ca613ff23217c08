import base64
import json
from pathlib import Path

import numpy as np
import official_nb101 as official
import pytest
import torch

from balenas_core.benchmarks import Table, install_table
from balenas_core.errors import DataError
from balenas_space_nb1shot1 import (
    NB1Shot1Options,
    NB1Shot1Space,
    NB101Cell,
    _official,
    module_hash,
    to_nb101,
)
from balenas_space_nb1shot1._architecture import all_architectures, position
from balenas_space_nb1shot1._configurations import architecture_at, configuration_hashes
from balenas_space_nb1shot1._imported import NB1Shot1ImportedBenchmark
from balenas_space_nb1shot1._official import parse_record, read_official
from balenas_space_nb1shot1._topology import TOPOLOGIES

DATA = Path(__file__).parents[5] / "shared" / "data"
S1 = TOPOLOGIES["s1"]
ALL_S1 = list(all_architectures(S1))
CHOSEN = [ALL_S1[0], ALL_S1[5_000], ALL_S1[14_579]]


@pytest.fixture(scope="module")
def cells():
    """Different cells, of which two are in S1 and one is in no space."""
    lone = NB101Cell(((0, 1), (0, 0)), ())
    return [to_nb101(CHOSEN[0]).pruned(), lone, to_nb101(CHOSEN[1]).pruned()]


@pytest.fixture(scope="module")
def source(cells, tmp_path_factory):
    return official.write(tmp_path_factory.mktemp("nb101") / "nasbench.tfrecord", cells, (108, 36))


@pytest.fixture(autouse=True, scope="module")
def _small_spaces():
    """Leave s3 out: hashing its 55,854 cells takes several seconds, and has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_official, "TOPOLOGIES", {name: TOPOLOGIES[name] for name in ("s1", "s2")})
        yield


@pytest.fixture(scope="module")
def table(source):
    return read_official(source, allow_missing=True)


def test_every_run_comes_back(table, cells):
    assert table.keys.tolist() == [module_hash(cell).encode() for cell in cells]
    for number in range(len(cells)):
        for epochs, suffix in ((108, ""), (36, "@36")):
            for run in range(3):
                expected = official.accuracies(number, run, epochs)
                for metric, value in zip(("train", "validation", "test"), expected, strict=True):
                    name = f"{metric}_accuracy{suffix}"
                    end = table.values("cifar10", name, run)[number]
                    half = table.values("cifar10", f"halfway_{name}", run)[number]
                    assert end == pytest.approx(100 * value, rel=1e-12)
                    assert half == pytest.approx(50 * value, rel=1e-12)
        assert table.values("cifar10", "parameters")[number] == pytest.approx(1 + number / 1e6)
    assert table.values("cifar10", "training_time", 2).tolist() == [102.0] * 3
    assert table.values("cifar10", "halfway_training_time", 2).tolist() == [51.0] * 3
    assert table.metrics(is_cost=False)[:2] == ("test_accuracy", "validation_accuracy")


def test_record_of_the_published_form_is_read(cells):
    found = parse_record(official.record(cells[0], 108, (0.9, 0.8, 0.7), parameters=27_000_000))
    assert (found.hash, found.epochs, found.cell) == (module_hash(cells[0]), 108, cells[0])
    assert found.parameters == 27_000_000
    assert found.evaluations == ((1000.0, 0.9, 0.8, 0.7), (500.0, 0.45, 0.4, 0.35))


def test_space_serves_the_imported_file(table, tmp_path, monkeypatch):
    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path))
    assert NB1Shot1Space(NB1Shot1Options()).benchmark() is None
    install_table(table, tmp_path / "benchmarks" / "nb1shot1.npz")
    space = NB1Shot1Space(NB1Shot1Options())
    benchmark = space.benchmark()
    assert len(benchmark.values("cifar10", "test_accuracy")) == S1.size()
    for architecture, row in ((CHOSEN[0], 0), (CHOSEN[1], 2)):
        entry = benchmark.query(architecture, "cifar10", "validation_accuracy", 1)
        assert entry.value == pytest.approx(100 * official.accuracies(row, 1)[1])
        same = benchmark.query(space.canonical(architecture), "cifar10", "validation_accuracy", 1)
        assert same.value == entry.value
        assert str(space.parse(benchmark.text(benchmark.index(architecture)))) == str(architecture)
    with pytest.raises(DataError, match=r"has no test_accuracy of .* on cifar10"):
        benchmark.query(CHOSEN[2], "cifar10", "test_accuracy")
    assert benchmark.unit("training_time") == "s"
    assert benchmark.seeds("cifar10", "test_accuracy") == (0, 1, 2)
    assert "test_accuracy@36" in benchmark.measured("cifar10")
    other = NB1Shot1Space(NB1Shot1Options(space="s2")).benchmark()
    assert len(other.values("cifar10", "parameters")) == TOPOLOGIES["s2"].size()


def test_table_of_another_space_is_refused():
    with pytest.raises(DataError, match="has results of 'nb201', not of 'nb1shot1'"):
        NB1Shot1ImportedBenchmark(Table("nb201", "t", [b"a"], {}), S1)
    with pytest.raises(DataError, match="t has no 's1'; import it again"):
        NB1Shot1ImportedBenchmark(Table("nb1shot1", "t", [b"a"], {}), S1)
    short = Table("nb1shot1", "t", [b"a"], {}, extras={"s1": np.zeros(3, np.int32)})
    with pytest.raises(DataError, match=r"has \(3,\) configurations of s1, not 14580"):
        NB1Shot1ImportedBenchmark(short, S1)


def test_missing_cells_are_counted(source):
    with pytest.raises(DataError, match=r"lacks 423621 of 423624 cells.*--allow-missing"):
        read_official(source)


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_hashes_of_configurations_are_those_of_each(name):
    topology = TOPOLOGIES[name]
    hashes = configuration_hashes(topology)
    assert hashes.shape == (topology.size(),)
    for place in range(0, topology.size(), 997):
        cell = to_nb101(architecture_at(place, topology)).pruned()
        assert hashes[place].decode() == module_hash(cell)


def test_numbers_of_unique_cells_are_the_published_ones():
    counts = {name: len(np.unique(configuration_hashes(TOPOLOGIES[name]))) for name in ("s1", "s2")}
    assert counts == {"s1": 2_685, "s2": 7_773}


@pytest.mark.skipif(
    not (DATA / "nb1shot1_index.npz").exists(), reason="needs data that is not distributed"
)
@pytest.mark.parametrize("name", ["s1", "s2", pytest.param("s3", marks=pytest.mark.slow)])
def test_hashes_sort_configurations_as_the_real_table_does(name):
    with np.load(DATA / "nb1shot1_index.npz") as arrays:
        rows = np.unique(arrays[name], return_inverse=True)[1]
    # The rows of the table are sorted by hash.
    hashes = np.unique(configuration_hashes(TOPOLOGIES[name]), return_inverse=True)[1]
    np.testing.assert_array_equal(hashes, rows)


@pytest.mark.skipif(not (DATA / "nb101.npz").exists(), reason="needs data that is not distributed")
def test_imported_real_accuracies_are_those_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path))
    folder = NB1Shot1Space(NB1Shot1Options(benchmark_folder=DATA))
    generator = torch.Generator().manual_seed(1)
    drawn = [folder.random(generator) for _ in range(40)]
    unique = {module_hash(to_nb101(a).pruned()): a for a in drawn}
    wanted = [folder.benchmark().query(a, "cifar10").value for a in unique.values()]
    records = [
        official.framed(official.record(to_nb101(a).pruned(), 108, (0.5, 0.5, value / 100)))
        for a, value in zip(unique.values(), wanted, strict=True)
    ]
    (tmp_path / "x.tfrecord").write_bytes(b"".join(records))
    space = NB1Shot1Space(NB1Shot1Options())
    table = space.import_benchmark(tmp_path / "x.tfrecord", allow_missing=True)
    install_table(table, tmp_path / "benchmarks" / "nb1shot1.npz")
    for architecture in drawn:
        expected = folder.benchmark().query(architecture, "cifar10").value
        found = space.benchmark().query(architecture, "cifar10", "test_accuracy").value
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_text_of_a_position_is_the_architecture_there(name):
    topology = TOPOLOGIES[name]
    for place in range(0, topology.size(), topology.size() // 37):
        assert position(architecture_at(place, topology), topology) == place
    for place in (-1, topology.size()):
        with pytest.raises(IndexError, match=f"got {place}"):
            architecture_at(place, topology)
    if name == "s1":
        assert architecture_at(5_000, topology) == ALL_S1[5_000]


def changed(content, **changes):
    parts = dict(
        zip(["hash", "epochs", "matrix", "operations", "message"], json.loads(content), strict=True)
    )
    return json.dumps(list((parts | changes).values())).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matrix": "011"}, "the matrix '011' does not fit"),
        ({"matrix": "0120"}, "the matrix '0120' does not fit"),
        ({"operations": "input,sigmoid,output", "matrix": "0" * 9}, "are not those of NAS-Bench"),
        ({"operations": "output,input"}, "are not those of NAS-Bench-101"),
        ({"message": "?"}, "record 0"),
        ({"message": ""}, "list index out of range"),
        ({"message": "CP///w=="}, "record 0"),
        ({"epochs": "108"}, "the epochs a number"),
        ({"hash": "0" * 32}, "is not the hash of its cell"),
        ({"hash": "x" * 60_000}, "is no result of the benchmark"),
        ({"epochs": 7}, "is no result of the benchmark"),
        ({"operations": ["input", "output"]}, "matrix and operations must be texts"),
        ({"matrix": "0" * 64}, "must be texts, of up to 7 vertices"),
        # parameters: a varint of more than 64 bits
        ({"message": base64.b64encode(b"\x10" + b"\xff" * 9 + b"\x7f").decode()}, "record 0"),
    ],
)
def test_record_that_does_not_fit_is_named(tmp_path, changes, message):
    content = official.record(NB101Cell(((0, 1), (0, 0)), ()), 108, (0.9, 0.9, 0.9))
    path = tmp_path / "x.tfrecord"
    path.write_bytes(official.framed(changed(content, **changes)))
    with pytest.raises(
        DataError, match=f"record 0 is not one of NAS-Bench-101.*{message}|{message}"
    ):
        read_official(path)


def test_fourth_run_of_a_cell_is_refused(tmp_path):
    content = official.record(NB101Cell(((0, 1), (0, 0)), ()), 108, (0.9, 0.9, 0.9))
    path = tmp_path / "x.tfrecord"
    path.write_bytes(official.framed(content) * 4)
    with pytest.raises(DataError, match=r"record 3 .*it is run 4 of"):
        read_official(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no cell|lacks 423624"),
        (b"PK\x03\x04 some other file", "is not a TFRecord file"),
        (official.framed(b"not json"), "record 0 is not one of NAS-Bench-101"),
        (official.framed(b"[1, 2]"), "record 0 is not one of NAS-Bench-101"),
    ],
)
def test_other_file_is_refused(tmp_path, content, message):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_official(path, allow_missing=True)


def test_damaged_file_is_refused(source, tmp_path):
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "x.tfrecord"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"checksum of record \d+ is wrong|truncated or damaged"):
        read_official(path)
    path.write_bytes(source.read_bytes()[:-7])
    with pytest.raises(DataError, match="is truncated at record 17"):
        read_official(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file.*nasbench_only108"):
        read_official(tmp_path / "x.tfrecord")


def test_record_of_nested_brackets_is_refused(tmp_path):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(official.framed(b"[" * 200_000))
    with pytest.raises(DataError, match=r"record 0 is not one of NAS-Bench-101"):
        read_official(path)
