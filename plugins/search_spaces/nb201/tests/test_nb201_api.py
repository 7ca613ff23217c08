"""Objects and files of the official packages as the space's benchmark."""

import numpy as np
import pytest

from balenas_core.errors import DataError, UsageError
from balenas_core.plugins.registry import default_registry
from balenas_space_nb201 import NB201Benchmark, NB201Options, NB201Space
from balenas_space_nb201._official import read_official

pytest.importorskip("nas_201_api")
pytest.importorskip("nats_bench")
import official_nb201 as official
from nas_201_api import NASBench201API
from nats_bench import NATSsize, create

TEXTS = official.architectures([9_374, 3, 15_624])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return {
        "nb201": official.write_nb201(folder / "NAS-Bench-201-v1_1-096897.pth", TEXTS),
        "nats": official.write_nats_file(folder / "NATS-tss-v1_0-3ffb9.pickle.pbz2", TEXTS),
        "fast": official.write_nats_folder(folder / "NATS-tss-v1_0-3ffb9-simple", TEXTS),
    }


@pytest.fixture(scope="module")
def objects(files):
    return {
        "nb201": NASBench201API(official.content(TEXTS), verbose=False),
        "nats": create(str(files["nats"]), "tss", verbose=False),
        "fast": create(str(files["fast"]), "tss", fast_mode=True, verbose=False),
    }


def assert_same(table, expected):
    assert table.keys.tolist() == expected.keys.tolist()
    assert table.columns == expected.columns
    for column in expected.columns:
        for seed in (*column.seeds, None):
            mine = table.values(column.dataset, column.metric, seed)
            theirs = expected.values(column.dataset, column.metric, seed)
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["nb201", "nats", "fast"])
def test_an_object_answers_what_its_file_does(files, objects, kind):
    expected = read_official(files[kind], allow_missing=True)
    space = NB201Space(NB201Options(), benchmark=objects[kind])
    assert_same(space.benchmark().table, expected)
    of_file = NB201Space(NB201Options(benchmark_file=files[kind])).benchmark()
    assert_same(of_file.table, expected)


@pytest.mark.parametrize("kind", ["nb201", "nats", "fast"])
def test_an_object_answers_what_it_says_itself(objects, kind):
    api = objects[kind]
    space = NB201Space(NB201Options(), benchmark=api)
    for number, text in enumerate(TEXTS):
        said = api.get_more_info(number, "cifar100", hp="200", is_random=False)
        entry = space.benchmark().query(space.parse(text), "cifar100", "test_accuracy")
        assert entry.value == pytest.approx(said["test-accuracy"], rel=1e-12)
        assert space.benchmark().index(space.parse(text)) == api.query_index_by_arch(text)
        assert space.parse(str(number)) == space.parse(text)


def test_an_object_in_fast_mode_is_left_as_it_was(files):
    api = create(str(files["fast"]), "tss", fast_mode=True, verbose=False)
    NB201Benchmark.from_api(api)
    assert not api.arch2infos_dict
    assert not api.evaluated_indexes


def test_a_file_is_an_option_that_a_configuration_can_hold(files):
    ref = default_registry().find("space", "nb201")
    space = ref.build(NB201Options(benchmark_file=files["nb201"]))
    assert len(space.benchmark().table) == len(TEXTS)


@pytest.mark.parametrize("value", [object(), {"meta_archs": []}, "file.pth", NATSsize])
def test_another_object_is_refused(value):
    with pytest.raises(UsageError, match="expected an NASBench201API or a NATStopology"):
        NB201Space(NB201Options(), benchmark=value)


def test_an_object_without_architectures_is_refused():
    empty = {"meta_archs": [], "arch2infos": {}, "evaluated_indexes": set()}
    with pytest.raises(DataError, match="NASBench201API holds no architecture"):
        NB201Benchmark.from_api(NASBench201API(empty, verbose=False))


def test_an_object_of_other_results_is_refused():
    api = NASBench201API(official.content(TEXTS), verbose=False)
    results = api.arch2infos_dict[0]["200"].all_results
    results["svhn", 777] = results.pop(("cifar10", 777))
    with pytest.raises(DataError, match="is not what it should be: it has results on an unknown"):
        NB201Benchmark.from_api(api)


def test_a_file_that_is_not_there_is_named(tmp_path):
    space = NB201Space(NB201Options(benchmark_file=tmp_path / "gone.pth"))
    with pytest.raises(DataError, match=r"cannot read .*gone\.pth: No such file"):
        space.benchmark()
