import bz2
import os
import pickle

import numpy as np
import pytest
import torch

from balenas_core.errors import DataError
from balenas_space_nb201 import NB201Benchmark
from balenas_space_nb201._architecture import parse
from balenas_space_nb201._official import read_official

pytest.importorskip("nas_201_api")
import official_nb201 as official
from nas_201_api import NASBench201API

TEXTS = official.architectures([9_374, 3, 15_624])


def converted(source, **options):
    return read_official(source, allow_missing=True, **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("nb201") / "NAS-Bench-201-v1_1-096897.pth"
    return official.write_nb201(path, TEXTS)


@pytest.fixture(scope="module")
def api():
    return NASBench201API(official.content(TEXTS), verbose=False)


@pytest.fixture(scope="module")
def table(source):
    return converted(source, with_curves=True)


SPLITS = [
    ("cifar10", "validation", "cifar10-valid", "x-valid"),
    ("cifar10", "test", "cifar10", "ori-test"),
    ("cifar10", "train", "cifar10", "train"),
    ("cifar10-valid", "validation", "cifar10-valid", "x-valid"),
    ("cifar10-valid", "test", "cifar10-valid", "ori-test"),
    ("cifar100", "validation", "cifar100", "x-valid"),
    ("cifar100", "test", "cifar100", "x-test"),
    ("cifar100", "validation_and_test", "cifar100", "ori-test"),
    ("imagenet16-120", "validation", "ImageNet16-120", "x-valid"),
    ("imagenet16-120", "test", "ImageNet16-120", "x-test"),
    ("imagenet16-120", "train", "ImageNet16-120", "train"),
]


@pytest.mark.parametrize("hp", ["12", "200"])
@pytest.mark.parametrize(("dataset", "split", "theirs", "name"), SPLITS)
def test_every_split_is_what_the_official_reader_says(api, table, hp, dataset, split, theirs, name):
    suffix = "" if hp == "200" else "@12"
    for index in range(len(TEXTS)):
        results = api.query_meta_info_by_index(index, hp)
        mean = results.get_metrics(theirs, name)
        for what in ("accuracy", "loss"):
            metric = f"{split}_{what}{suffix}"
            assert table.values(dataset, metric)[index] == pytest.approx(mean[what], rel=1e-12)
            for seed in table.column(dataset, metric).seeds:
                value = table.values(dataset, metric, seed)[index]
                if seed in results.get_dataset_seeds(theirs):
                    expected = results.get_metrics(theirs, name, is_random=seed)[what]
                    assert value == expected
                else:
                    assert np.isnan(value)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120"])
def test_times_and_costs_are_what_the_official_reader_says(api, table, dataset):
    here = dataset.lower()
    for index in range(len(TEXTS)):
        info = api.get_more_info(index, dataset, hp="200", is_random=777)
        cost = api.get_cost_info(index, dataset, hp="200")
        assert table.values(here, "training_time", 777)[index] == pytest.approx(
            info["train-all-time"]
        )
        split = "test" if dataset == "cifar10" else "validation"
        theirs = info["test-per-time" if dataset == "cifar10" else "valid-per-time"]
        assert table.values(here, f"{split}_time", 777)[index] == pytest.approx(theirs)
        assert table.values(here, "parameters")[index] == pytest.approx(cost["params"])
        assert table.values(here, "flops")[index] == pytest.approx(cost["flops"])
        if dataset != "cifar100":
            assert table.values(here, "latency")[index] == pytest.approx(cost["latency"])


def test_latency_that_was_not_measured_is_no_column(table):
    with pytest.raises(DataError, match="no metric 'latency' of cifar100"):
        table.values("cifar100", "latency")


def test_curves_are_what_the_official_reader_says(api, table):
    curve = table.curve("cifar100", "test_accuracy", 888)
    assert curve.shape == (3, 200)
    for epoch in (0, 100, 199):
        info = api.get_more_info(2, "cifar100", iepoch=epoch, hp="200", is_random=888)
        assert curve[2, epoch] == pytest.approx(info["test-accuracy"], rel=1e-6)
    assert table.curve("cifar10", "validation_accuracy@12").shape == (3, 12)


def test_curves_are_left_out_unless_asked_for(source):
    assert converted(source).curve_names == ()


def test_seeds_and_order_are_the_files(table):
    assert table.keys.astype(str).tolist() == TEXTS
    assert table.column("cifar10", "validation_accuracy").seeds == (777, 888, 999)
    assert table.column("cifar10", "validation_accuracy@12").seeds == (111, 777)
    assert table.datasets == ("cifar10", "cifar100", "imagenet16-120", "cifar10-valid")
    assert table.metrics(is_cost=False)[:2] == ("validation_accuracy", "test_accuracy")


def test_every_official_form_gives_the_same_table(table, tmp_path):
    sources = [
        official.write_nb201(tmp_path / "old.pth", TEXTS, is_zip=False),
        official.write_nats_file(tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2", TEXTS),
        official.write_nats_folder(tmp_path / "NATS-tss-v1_0-3ffb9-simple", TEXTS),
        official.write_archive(tmp_path / "NAS-Bench-201-v1_1-archive", TEXTS),
    ]
    for source in sources:
        other = converted(source)
        assert other.columns == table.columns
        assert other.keys.tolist() == table.keys.tolist()
        for column in table.columns:
            for seed in (None, *column.seeds):
                np.testing.assert_array_equal(
                    other.values(column.dataset, column.metric, seed),
                    table.values(column.dataset, column.metric, seed),
                )


def test_benchmark_serves_the_converted_file(table, tmp_path):
    path = tmp_path / "nb201.npz"
    with path.open("wb") as file:
        table.write(file)
    benchmark = NB201Benchmark.open(path)
    entry = benchmark.query(parse(TEXTS[1]), "cifar10", "test_accuracy")
    assert entry.value == table.values("cifar10", "test_accuracy")[1]
    assert entry.total == 3
    assert benchmark.unit("training_time") == "s"
    assert benchmark.seeds("cifar100", "test_loss") == (777, 888, 999)
    with pytest.raises(DataError, match=r"no test_accuracy of .* on cifar10 with seed 999"):
        benchmark.query(parse(TEXTS[1]), "cifar10", "test_accuracy", 999)
    with pytest.raises(DataError, match="has no results of"):
        benchmark.index(parse(official.architectures([7])[0]))
    with pytest.raises(DataError, match=r"no results of the operations \[0, 0, 0, 0, 1, 2\]"):
        benchmark.positions([[0, 0, 0, 0, 1, 2]])


def test_missing_architectures_are_counted(source):
    with pytest.raises(DataError, match=r"lacks 15622 of 15625 architectures.*--allow-missing"):
        read_official(source)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["x.pth", "x.pickle.pbz2"])
def test_hostile_file_is_refused_and_not_executed(tmp_path, name):
    marker = tmp_path / "executed"
    content = official.content(TEXTS[:1]) | {"evaluated_indexes": Hostile(marker)}
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(content, path)
    else:
        official._dump(path, content)
    with pytest.raises(DataError, match=r"is not what it should be: it refers to .*mkdir"):
        converted(path)
    assert not marker.exists()


def test_object_of_the_official_class_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(official.ArchResults(0, TEXTS[0]), path)
    with pytest.raises(DataError, match=r"refers to .*, and only plain data is read"):
        converted(path)


@pytest.mark.parametrize("kept", [0, 100, 10_000, -1000])
def test_truncated_file_is_refused(source, tmp_path, kept):
    path = tmp_path / "x.pth"
    path.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"is not what it should be: it is .*Give 'NAS-Bench"):
        converted(path)


def test_truncated_compressed_file_is_refused(tmp_path):
    path = official.write_nats_file(tmp_path / "x.pickle.pbz2", TEXTS[:1])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"x.pickle.pbz2 is not what it should be: it is truncated"):
        converted(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("arch2infos"), "no 'arch2infos'"),
        (lambda c: c["meta_archs"].__setitem__(0, TEXTS[1]), "architecture 0 should be .* and is"),
        (lambda c: c["arch2infos"].update({9: {}}), "results of architecture 9, and names 1"),
        (lambda c: c["arch2infos"][0].update(extra={}), "has results 'extra'; known are less"),
        (lambda c: c["arch2infos"].update({0: 3}), "has int where a dict belongs"),
        (lambda c: run_of(c).update(epochs=13), "no 12"),
        (lambda c: run_of(c).update(eval_names=["y-valid"]), "unknown split 'y-valid'"),
        (lambda c: run_of(c).update(params="many"), "could not convert"),
        (lambda c: runs_of(c).update({("svhn", 1): run_of(c)}), "unknown dataset 'svhn'"),
        (lambda c: c["arch2infos"][0]["less"].update(arch_str="|a~0|"), "should be"),
        (lambda c: c["arch2infos"][0]["less"].update(arch_str=[1]), "list where text belongs"),
        (lambda c: run_of(c).update(epochs=10**9), "for 1000000000 epochs, not for 1 to 1000"),
        (lambda c: run_of(c).update(eval_names=[("x", "y")]), "unknown split"),
        (lambda c: run_of(c).update(params=10**400), "too large"),
        (
            lambda c: runs_of(c).update({("cifar10-valid", seed): run_of(c) for seed in range(20)}),
            "results of more than 16 seeds",
        ),
    ],
)
def test_content_that_does_not_fit_is_named(tmp_path, change, message):
    content = official.content(TEXTS[:1])
    change(content)
    path = tmp_path / "x.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=f"x.pth is not what it should be: .*{message}"):
        converted(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04}N" + b"\x85" * 1_000_000 + b"Ns.", "tiny parts|as a key"),
        (b"\x80\x04}N" + b"\x85" * 1_000 + b"Ns.", "tuple as a key"),
    ],
)
def test_file_that_would_overflow_the_stack_is_refused(tmp_path, content, message):
    path = tmp_path / "NATS-tss-v1_0-0.pickle.pbz2"
    path.write_bytes(bz2.compress(content))
    with pytest.raises(DataError, match=f"is not what it should be: it has .*({message})"):
        read_official(path)


def runs_of(content):
    return content["arch2infos"][0]["less"]["all_results"]


def run_of(content):
    return next(iter(runs_of(content).values()))


def test_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no architecture"):
        converted(tmp_path)


def test_missing_source_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file or folder: .*x.pth"):
        converted(tmp_path / "x.pth")


def test_plain_pickle_is_no_torch_file(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps({"meta_archs": []}))
    with pytest.raises(DataError, match=r"not a file of torch\.save"):
        converted(path)
