import bz2
import collections
import contextlib
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.benchmarks import (
    PickleError,
    Series,
    read_pickle,
    read_pickle_file,
    read_pickles,
    read_torch_file,
)


def plain(value):
    """Turn every ``Series`` into a dict."""
    if isinstance(value, Series):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


def read(value, protocol=2):
    return read_pickle(io.BytesIO(pickle.dumps(value, protocol)))


atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
data = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 300), inner, max_size=12)
        | st.dictionaries(st.integers(0, 300), st.floats(allow_nan=False), max_size=30)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(data, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_comes_back_as_the_standard_unpickler_reads_it(value, protocol):
    assert plain(read(value, protocol)) == value


@settings(max_examples=100, deadline=None)
@given(data, st.data())
def test_truncated_pickle_is_refused(value, draw):
    content = pickle.dumps(value, 4)
    cut = draw.draw(st.integers(0, len(content) - 1))
    with pytest.raises(PickleError):
        read_pickle(io.BytesIO(content[:cut]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_refused_or_read_as_data(content):
    with contextlib.suppress(PickleError):  # no other error, and no hang
        assert read_pickle(io.BytesIO(b"\x80\x02" + content)) is not NotImplemented


def test_epochs_are_kept_as_an_array():
    curve = {epoch: epoch / 7 for epoch in range(200)}
    read_back = read({"train": curve, "again": curve})
    assert isinstance(read_back["train"], Series)
    assert len(read_back["train"]) == 200
    assert sys.getsizeof(read_back["train"]) < 100
    assert read_back["again"] is read_back["train"]
    assert plain(read_back["train"]) == curve
    np.testing.assert_array_equal(
        read_back["train"].gather(tuple(range(199, -1, -1))), list(curve.values())[::-1]
    )


def test_strings_that_were_seen_before_can_be_keys():
    names = [f"x-valid@{epoch}" for epoch in range(300)]
    tables = [{name: k / 3 + i for i, name in enumerate(names)} for k in range(3)]
    assert plain(read(tables)) == tables
    assert plain(read(tables, 4)) == tables
    with pytest.raises(KeyError):
        read(tables)[1].gather(("x-valid@0", "x-test@0"))
    np.testing.assert_array_equal(read(tables)[1].gather(tuple(names)), list(tables[1].values()))


def test_ordered_dicts_sets_and_numpy_scalars_are_data():
    value = {
        "o": collections.OrderedDict((epoch, float(epoch)) for epoch in range(20)),
        "s": {1, 2},
        "n": np.float64(1.5),
        "m": np.float32(0.5),
        "i": np.int64(-3),
    }
    for protocol in (2, 4):
        read_back = read(value, protocol)
        assert plain(read_back["o"]) == dict(value["o"])
        assert read_back["s"] == {1, 2}
        assert (read_back["n"], read_back["m"], read_back["i"]) == (1.5, 0.5, -3)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Innocent:
    pass


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickle_that_runs_code_is_refused_and_not_executed(tmp_path, protocol):
    marker = tmp_path / "executed"
    with pytest.raises(PickleError, match=r"refers to (posix|nt)\.mkdir, and only plain data"):
        read({"meta_archs": [Hostile(marker)]}, protocol)
    assert not marker.exists()


def test_object_of_a_class_is_refused():
    with pytest.raises(PickleError, match=r"refers to .*Innocent"):
        read(Innocent(), 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"hello", "damaged"),
        (b"\x80\x00N.", "protocol 0; 2 to 5 are read"),
        (b"\x80\x02cos\nsystem\n(U\x02ls\x85R.", r"refers to os\.system"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01R.", "calls Safe"),
        (b"\x80\x02K\x01)R.", "calls int, and only plain data"),
        (b"\x80\x02K\x01}b.", "sets the state of int"),
        (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "memo number 2147483647 comes after 0"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f", "an integer of 2147483647 bytes"),
        (b"\x80\x02X\xff\xff\xff\xff", "truncated"),
        (b"\x80\x02]K\x01K\x02s.", "sets items of list"),
        (b"\x80\x02(K\x01u.", "damaged"),
        (b"\x80\x02u.", "damaged"),
        (b"\x80\x02cnumpy\ndtype\nU", "damaged"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.", "'utf-8'"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.", "numpy scalars of type 'O8'"),
    ],
)
def test_refusal_says_what_it_found(content, message):
    with pytest.raises(PickleError, match=message):
        read_pickle(io.BytesIO(content))


def nested(levels, wrap):
    """A memoised value, wrapped again and again by instructions that ``wrap`` gives."""
    return b"\x80\x04N" + wrap * levels


def pairs(levels, first=b"N"):
    """A pair of a pair of a pair ...: both parts of each are the same object."""
    content = b"\x80\x04" + first + b"\x94"
    for level in range(levels):
        content += b"0h" + bytes([level]) + b"h" + bytes([level]) + b"\x86\x94"
    return content


def repeated_lists(levels):
    content = b"\x80\x04]\x94"
    for level in range(levels):
        content += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"e\x94"
    return content


@pytest.mark.parametrize("put", [b"}%bNs.", b"\x8f(%b\x90.", b"(%b\x91.", b"(%bNd."])
@pytest.mark.parametrize("value", [nested(90_000, b"\x85")[2:], pairs(60)[2:], b"]", b"(K\x01\x91"])
def test_key_that_is_no_flat_value_is_refused(put, value):
    with pytest.raises(PickleError, match="as a key, which no results have"):
        read_pickle(io.BytesIO(b"\x80\x04" + put % value))


@pytest.mark.parametrize("call", [b"ccollections\nOrderedDict\n", b"cbuiltins\nset\n"])
def test_key_made_by_a_function_is_checked_too(call):
    value = nested(90_000, b"\x85")[2:]
    pair = b"(" + value + b"N\x86l" if b"Ordered" in call else b"(" + value + b"l"
    with pytest.raises(PickleError, match="tuple as a key"):
        read_pickle(io.BytesIO(b"\x80\x04" + call + pair + b"\x85R."))


@pytest.mark.parametrize("levels", [45, 200])
@pytest.mark.parametrize("make", [pairs, repeated_lists])
def test_value_that_repeats_its_parts_without_end_is_refused(make, levels):
    with pytest.raises(PickleError, match=r"repeats the same part|nested deeper than 64"):
        read_pickle(io.BytesIO(make(levels) + b"."))


@pytest.mark.parametrize(
    "content", [nested(50_000, b"\x85"), b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999]
)
def test_value_that_is_far_too_deep_is_refused(content):
    with pytest.raises(PickleError, match="nested deeper than 64 levels"):
        read_pickle(io.BytesIO(content + b"."))


def test_list_that_contains_itself_is_refused():
    with pytest.raises(PickleError, match="contains itself"):
        read_pickle(io.BytesIO(b"\x80\x04]\x94h\x00a."))


def test_results_of_a_seed_are_keys():
    value = {("cifar10", 777): [1, (2, (3, (4,)))], ("cifar10", 888): None, 12: "x", None: b"y"}
    assert plain(read(value, 4)) == value


def test_integers_made_to_have_the_same_hash_are_refused():
    with pytest.raises(PickleError, match="int as a key"):
        read({k * (2**61 - 1): None for k in range(10, 20)}, 4)


def test_many_tuples_as_keys_are_refused():
    with pytest.raises(PickleError, match="more than 4,096 tuples as keys"):
        read({(0, k): None for k in range(5000)}, 4)


def test_compressed_stream_of_nothing_is_refused(tmp_path):
    path = tmp_path / "x.pbz2"
    for content, message in (
        (b"\x80\x04" + b"}" * 1_000_000, "tiny parts"),
        (
            b"\x80\x04\x8d" + (20_000_000).to_bytes(8, "little") + b"a" * 20_000_000,
            "unpacks to more",
        ),
        (b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"a" * 10, "claims a text of"),
    ):
        path.write_bytes(bz2.compress(content, 1))
        with pytest.raises(PickleError, match=message):
            read_pickle_file(path)


def test_zipped_stream_of_nothing_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "x/data.pkl", b"\x80\x04X" + (1 << 25).to_bytes(4, "little") + bytes(1 << 25)
        )
    with pytest.raises(PickleError, match="unpacks to more than"):
        read_torch_file(path)


def test_part_that_is_copied_over_and_over_is_refused():
    content = b"\x80\x04(" + b"K\x01" * 1000 + b"l\x94cbuiltins\nset\n\x94"
    with pytest.raises(PickleError, match="copies the same part over and over"):
        read_pickle(io.BytesIO(content + b"0h\x01h\x00\x85R" * 200 + b"."))


def test_run_of_floats_is_not_repeated_by_reference():
    run = b"".join(b"K" + bytes([n]) + b"G" + bytes(8) for n in range(20))
    with pytest.raises(PickleError, match="remembers a mark"):
        read_pickle(io.BytesIO(b"\x80\x04}(" + run + b"\x94u."))


def test_pickles_in_a_row_are_read_one_by_one():
    file = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps({"a": 2}, 4))
    pickles = read_pickles(file)
    assert next(pickles) == [1]
    assert plain(next(pickles)) == {"a": 2}
    with pytest.raises(PickleError, match="truncated"):
        next(pickles)


def test_compressed_stream_longer_than_a_buffer_is_read(tmp_path):
    value = {index: {epoch: index / (epoch + 1) for epoch in range(100)} for index in range(3000)}
    path = tmp_path / "x.pbz2"
    with bz2.open(path, "wb", 1) as file:
        pickle.dump(value, file, 4)
    with bz2.open(path) as file:
        assert plain(read_pickle(file)) == value


@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_file_is_read_without_its_tensors(tmp_path, is_zip):
    value = {
        "accuracy": {epoch: epoch * 0.25 for epoch in range(50)},
        "state": collections.OrderedDict(weight=torch.arange(100_000.0)),
        "seed": 777,
    }
    path = tmp_path / "x.pth"
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    read_back = read_torch_file(path)
    assert plain(read_back["accuracy"]) == value["accuracy"]
    assert read_back["seed"] == 777
    assert list(read_back["state"]) == ["weight"]


@pytest.mark.parametrize("is_zip", [True, False])
def test_hostile_torch_file_is_refused_and_not_executed(tmp_path, is_zip):
    marker = tmp_path / "executed"
    path = tmp_path / "x.pth"
    torch.save({"a": Hostile(marker)}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(PickleError, match="only plain data is read"):
        read_torch_file(path)
    assert not marker.exists()


def test_what_is_no_pickle_at_all_is_said_to_be_none(tmp_path):
    path = tmp_path / "x.pth"
    path.write_text("hello, I am a text\n")
    with pytest.raises(PickleError, match=r"^it is no pickle or archive, or is truncated or dam"):
        read_torch_file(path)


def test_other_files_are_no_torch_files(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps({"a": 1}, 2))
    with pytest.raises(PickleError, match=r"not a file of torch\.save"):
        read_torch_file(path)
    np.savez(tmp_path / "y.pth", a=np.zeros(1))
    with pytest.raises(PickleError, match=r"not one of torch\.save"):
        read_torch_file(tmp_path / "y.pth.npz")
    torch.save({"a": 1}, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(PickleError, match="truncated or damaged"):
        read_torch_file(path)
