import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from balenas_core.benchmarks import (
    Column,
    Table,
    cache_folder,
    install_table,
    installed_table,
    percentiles,
    ranks,
)
from balenas_core.errors import DataError, OutputError

NAN = float("nan")
ACCURACY = Column("cifar10", "accuracy", (777, 888), unit="%")
SIZE = Column("cifar10", "parameters", (), is_cost=True, unit="M")


def table(**curves):
    return Table(
        "toys",
        "a toy table",
        [b"a", b"b", b"c"],
        {
            ACCURACY: np.array([[90.1, 90.3], [80.0, NAN], [NAN, NAN]]),
            SIZE: np.array([[1.5], [0.5], [2.5]]),
        },
        curves,
    )


def saved(tmp_path, made=None):
    path = tmp_path / "toys.npz"
    install_table(made or table(), path)
    return path


def test_mean_is_over_the_seeds_that_exist():
    np.testing.assert_allclose(table().values("cifar10", "accuracy"), [90.2, 80.0, NAN])
    np.testing.assert_array_equal(table().values("cifar10", "accuracy", 888), [90.3, NAN, NAN])


def test_value_without_seeds_is_the_same_for_every_seed():
    np.testing.assert_array_equal(table().values("cifar10", "parameters", 888), [1.5, 0.5, 2.5])


def test_file_holds_exactly_what_was_written(tmp_path):
    opened = Table.open(saved(tmp_path))
    assert (opened.space, opened.source, len(opened)) == ("toys", "a toy table", 3)
    assert opened.columns == (ACCURACY, SIZE)
    assert opened.keys.tolist() == [b"a", b"b", b"c"]
    for seed in (None, 777, 888):
        np.testing.assert_array_equal(
            opened.values("cifar10", "accuracy", seed), table().values("cifar10", "accuracy", seed)
        )


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (3, 2)))
def test_any_numbers_survive_the_file(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "x.npz"
    install_table(Table("toys", "t", [b"a", b"b", b"c"], {ACCURACY: values}), path)
    opened = Table.open(path)
    for run, seed in enumerate(ACCURACY.seeds):
        np.testing.assert_array_equal(opened.values("cifar10", "accuracy", seed), values[:, run])


def test_curves_are_optional_and_come_back(tmp_path):
    curve = np.arange(12.0).reshape(3, 2, 2)
    made = Table(
        "toys",
        "t",
        [b"a", b"b", b"c"],
        {ACCURACY: curve[..., -1]},
        {("cifar10", "accuracy"): curve},
    )
    opened = Table.open(saved(tmp_path, made))
    assert opened.curve_names == (("cifar10", "accuracy"),)
    np.testing.assert_array_equal(opened.curve("cifar10", "accuracy"), curve.mean(axis=1))
    np.testing.assert_array_equal(opened.curve("cifar10", "accuracy", 888), curve[:, 1])
    with pytest.raises(DataError, match=r"imported without curves of accuracy.*--curves"):
        table().curve("cifar10", "accuracy")
    with pytest.raises(DataError, match=r"has the seeds \(777, 888\); got 1"):
        opened.curve("cifar10", "accuracy", 1)


def test_values_are_a_copy():
    made = table()
    made.values("cifar10", "accuracy")[:] = 0
    made.values("cifar10", "accuracy", 777)[:] = 0
    assert made.values("cifar10", "accuracy")[0] == pytest.approx(90.2)
    assert made.values("cifar10", "accuracy", 777)[0] == 90.1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (("cifar", "accuracy"), "no dataset 'cifar'. Did you mean 'cifar10'"),
        (("cifar10", "acuracy"), "no metric 'acuracy' of cifar10. Did you mean 'accuracy'"),
        (("cifar10", "accuracy", 1), "has the seeds 777, 888; got 1"),
    ],
)
def test_unknown_names_list_what_exists(query, message):
    with pytest.raises(DataError, match=message):
        table().values(*query)


@pytest.mark.parametrize("kept", [0, 10, 200, -1, -30])
def test_truncated_file_is_refused(tmp_path, kept):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="is not a benchmark file of balenas, or is damaged"):
        Table.open(path)


def test_damage_inside_a_column_is_found_when_it_is_read(tmp_path):
    path = saved(tmp_path)
    with zipfile.ZipFile(path) as archive:
        end = archive.getinfo("column1.npy").header_offset
    content = bytearray(path.read_bytes())
    content[end - 10] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path} .*is damaged"):
        Table.open(path).values("cifar10", "accuracy")
    with pytest.raises(DataError, match=f"^{path} .*is damaged"):
        Table.open(path).check()


def test_header_of_nested_brackets_is_damage(tmp_path):
    path = saved(tmp_path)
    with np.load(path) as old:
        content = dict(old)
    content["header"] = np.frombuffer(b"[" * 200_000, np.uint8)
    np.savez(path, **content)
    with pytest.raises(DataError, match="is not a benchmark file of balenas, or is damaged"):
        Table.open(path)


def rewritten(path, **changes):
    with np.load(path) as old:
        content = dict(old)
    header = json.loads(content["header"].tobytes()) | changes
    content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **content)
    return path


def test_file_of_another_version_is_refused(tmp_path):
    with pytest.raises(DataError, match="is of version 2, and this balenas reads version 1"):
        Table.open(rewritten(saved(tmp_path), version=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "x"}, "header is another format's"),
        ({"columns": [{}]}, "missing 2 required|KeyError"),
        ({"curves": [["cifar10", "accuracy"]]}, "no array 'curve0'"),
    ],
)
def test_header_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        Table.open(rewritten(saved(tmp_path), **changes))


def test_pickled_array_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, header=np.array([{"format": "balenas-benchmark"}], dtype=object))
    with pytest.raises(DataError, match="allow_pickle=False"):
        Table.open(path)


def test_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file.*balenas bench import"):
        Table.open(tmp_path / "x.npz")


def test_repeated_key_is_refused():
    with pytest.raises(ValueError, match="keys must differ"):
        Table("toys", "t", [b"a", b"a"], {})


def test_column_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must be 3 x 2; got \(3, 1\)"):
        Table("toys", "t", [b"a", b"b", b"c"], {ACCURACY: np.zeros((3, 1))})


def test_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert installed_table("toys") is None
    saved_path = tmp_path / "benchmarks" / "toys.npz"
    install_table(table(), saved_path)
    assert installed_table("toys") == saved_path
    assert [p.name for p in saved_path.parent.iterdir()] == ["toys.npz"]


def test_relative_xdg_folder_is_ignored(tmp_path, monkeypatch):
    monkeypatch.delenv("BALENAS_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert cache_folder() == tmp_path / ".cache" / "balenas"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "balenas"


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*set BALENAS_CACHE"):
        install_table(table(), tmp_path / "file" / "x.npz")


@given(arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([1.0, 2.0, 3.5, NAN])))
def test_ranks_count_the_better_values(values):
    for is_cost in (False, True):
        expected = [
            0
            if np.isnan(v)
            else 1 + sum((w < v) if is_cost else (w > v) for w in values if not np.isnan(w))
            for v in values
        ]
        assert ranks(values, is_cost=is_cost).tolist() == expected


def test_percentile_of_the_best_is_100_and_of_the_worst_one_share():
    assert percentiles(np.arange(4.0), is_cost=True).tolist() == [100.0, 75.0, 50.0, 25.0]
