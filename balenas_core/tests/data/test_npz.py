from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from balenas_core.data import ArrayAugmentation, BatchLoader, NpzOptions, split
from balenas_core.data._cifar import CIFAR10_STATISTICS
from balenas_core.data._npz import load
from balenas_core.errors import DataError

CIFAR = Path(__file__).parents[4] / "shared" / "data" / "cifar10_12k.npz"
random = np.random.default_rng(0)


def _load(path, **options):
    return load(NpzOptions(path=path, **options))


def test_images_and_labels_arrive_unchanged(write_npz):
    path = write_npz()
    dataset = _load(path)
    with np.load(path) as file:
        assert dataset.input_shape == (3, 8, 8)
        assert len(dataset.train) == 12
        assert_close(dataset.train[5], torch.from_numpy(file["x_train"][5]).permute(2, 0, 1))
        assert_close(dataset.test[3], torch.from_numpy(file["x_test"][3]).permute(2, 0, 1))
        np.testing.assert_array_equal(dataset.train.labels, file["y_train"])
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.name == "images.npz"


def test_grey_images_without_a_channel_axis_get_one(write_npz):
    x = random.integers(0, 256, (12, 8, 8), dtype=np.uint8)
    dataset = _load(write_npz(x_train=x, x_test=x[:6]))
    assert dataset.input_shape == (1, 8, 8)
    assert_close(dataset.train[0][0], torch.from_numpy(x[0]))


def test_the_training_images_are_normalized_to_mean_0_and_deviation_1(write_npz):
    dataset = _load(write_npz())
    views = torch.stack([dataset.normalize(dataset.train[i]) for i in range(12)])
    assert_close(views.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(views.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_class_names_are_read(write_npz):
    names = ["cat", "dog", "émeu"]
    assert _load(write_npz(classes=np.array(names))).class_names == tuple(names)
    encoded = np.array([name.encode() for name in names])
    assert _load(write_npz(classes=encoded)).class_names == tuple(names)


def test_floats_in_0_to_1_become_256_levels(write_npz):
    x = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    dataset = _load(write_npz(x_train=(x / 255).astype(np.float32)))
    assert_close(dataset.train[2], torch.from_numpy(x[2]).permute(2, 0, 1))


def test_wider_integers_in_0_to_255_are_accepted(write_npz):
    x = random.integers(0, 256, (12, 8, 8, 3))
    assert_close(
        _load(write_npz(x_train=x)).train[2], torch.from_numpy(x[2]).permute(2, 0, 1).byte()
    )


CT = random.integers(-1024, 3072, (12, 8, 8), dtype=np.int16)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_one_range_scales_both_parts(write_npz, dtype):
    path = write_npz(x_train=CT.astype(dtype), x_test=CT[:6].astype(dtype) // 2)
    dataset = _load(path, range=[-1024, 3071])
    expected = np.rint((CT.astype(float) + 1024) * 255 / 4095)
    assert_close(dataset.train[5][0].double(), torch.from_numpy(expected[5]))
    test = np.rint((CT[3].astype(dtype) // 2 + 1024.0) * 255 / 4095)
    assert_close(dataset.test[3][0].double(), torch.from_numpy(test).double())


def test_what_is_beyond_the_range_is_black_or_white(write_npz):
    dataset = _load(write_npz(x_train=CT, x_test=CT[:6]), range=[0, 100])
    assert (dataset.train[0][0][torch.from_numpy(CT[0] <= 0)] == 0).all()
    assert (dataset.train[0][0][torch.from_numpy(CT[0] >= 100)] == 255).all()


@pytest.mark.parametrize(
    ("x_train", "x_test", "advised"),
    [
        (CT.clip(-1000), CT[:6].clip(None, 2000), None),
        (FLOATS := random.uniform(-1, 1, (12, 8, 8)), FLOATS[:6], "[-1,1]"),
        (FLOATS * 100 + 110, FLOATS[:6], None),
        (FLOATS * 100 + 110, FLOATS[:6] * 100 + 110, "[0,255]"),
        (CT.astype(np.uint16), np.full((6, 8, 8), np.nan), None),
    ],
)
def test_the_advised_range_is_that_of_both_parts(write_npz, x_train, x_test, advised):
    path = write_npz(x_train=x_train, x_test=x_test)
    with pytest.raises(DataError, match=r"set data\.range to .*, by which both parts") as caught:
        _load(path)
    if advised is None:
        low = min(x_train.min(), np.nan_to_num(x_test, nan=1e9).min())
        high = max(x_train.max(), np.nan_to_num(x_test, nan=-1e9).max())
        advised = f"[{low:.6g},{high:.6g}]"
    assert f"such as {advised}" in str(caught.value)


def test_a_range_that_does_not_ascend_is_refused():
    with pytest.raises(ValidationError, match="the second number must be greater than the first"):
        NpzOptions(path="x.npz", range=[1, 1])


def test_the_names_of_medmnist_are_known(write_npz, caplog):
    x = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    y = (np.arange(12) % 3)[:, None].astype(np.uint8)
    path = write_npz(
        **dict.fromkeys(("x_train", "y_train", "x_test", "y_test")),
        train_images=x, train_labels=y, val_images=x, val_labels=y, test_images=x, test_labels=y,
    )  # fmt: skip
    dataset = _load(path)
    assert_close(dataset.train[5], torch.from_numpy(x[5]).permute(2, 0, 1))
    assert dataset.train.labels.tolist() == y[:, 0].tolist()
    assert f"not used of {path}: the arrays val_images, val_labels" in caplog.text
    held_out = {"x_test": "val_images", "y_test": "val_labels"}
    assert len(_load(path, arrays=held_out).test) == 12


def test_arrays_of_other_names_are_named(write_npz):
    x = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    path = write_npz(x_train=None, photos=x, kinds=np.array(["a", "b", "c"]))
    dataset = _load(path, arrays={"x_train": "photos", "classes": "kinds"})
    assert_close(dataset.train[5], torch.from_numpy(x[5]).permute(2, 0, 1))
    assert dataset.class_names == ("a", "b", "c")
    with pytest.raises(DataError, match=r"lacks photo\. Did you mean 'photos'\?.* data\.arrays"):
        _load(path, arrays={"x_train": "photo"})
    with pytest.raises(ValidationError, match="x_trian"):
        NpzOptions(path=path, arrays={"x_trian": "photos"})


def test_options_reach_the_augmentation(write_npz):
    augment = _load(write_npz(), flip=False, padding=2, cutout=3, mean=[0, 0, 0]).augment
    assert isinstance(augment, ArrayAugmentation)
    assert (augment.flip, augment.padding, augment.cutout) == (False, 2, 3)
    assert augment.normalize.mean == (0, 0, 0)


FEW = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
BAD = {
    "missing x_train": ({"x_train": None}, r"lacks x_train\..* It has: y_train, x_test, y_test"),
    "missing both": ({"x_test": None, "y_test": None}, r"lacks x_test, y_test"),
    "misspelt": ({"x_train": None, "X_train": FEW}, r"lacks x_train\. Did you mean 'X_train'\?"),
    "one axis": ({"x_train": np.zeros(12, np.uint8)}, r"x_train must be images x height x width"),
    "five axes": ({"x_train": FEW[None]}, r"got shape \(1, 12, 8, 8, 3\)"),
    "channels first": (
        {"x_train": FEW.transpose(0, 3, 1, 2)},
        r"seem to come first: store x_train\.transpose\(0, 2, 3, 1\)",
    ),
    "many channels": ({"x_train": np.zeros((12, 8, 8, 9), np.uint8)}, r"at most 4 channels"),
    "empty": ({"x_train": FEW[:0], "y_train": np.zeros(0, int)}, r"x_train is empty"),
    "NaN": (
        {"x_train": np.where(np.arange(12)[:, None, None, None] == 7, np.nan, FEW / 255)},
        r"x_train holds NaN or infinite pixels, first in image 7\..*np\.nan_to_num\(x_train\)",
    ),
    "NaN in test": ({"x_test": np.full((6, 8, 8, 3), np.inf)}, r"x_test holds NaN or infinite"),
    "float 0..255": ({"x_train": FEW.astype(float)}, r"float64 pixels .*expected 0\.\.1\. To"),
    "negative float": ({"x_train": FEW / 255 - 0.5}, r"from -0\.5 to .*expected 0\.\.1"),
    "int too large": (
        {"x_train": FEW.astype(int) + 1},
        r"int64 pixels from 1 to 256; expected 0\.\.255\. .*set data\.range to .* \[0,256\]",
    ),
    "strings": ({"x_train": FEW.astype(str)}, r"must hold uint8 pixels; got dtype <U3"),
    "bool": ({"x_train": FEW > 9}, r"must hold uint8 pixels; got dtype bool"),
    "constant": ({"x_train": np.full_like(FEW, 7)}, r"every training pixel is 7"),
    "sizes differ": ({"x_test": FEW[:6, :4]}, r"are 8 x 8 x 3 but test images are 4 x 8 x 3"),
    "lengths differ": ({"y_train": np.arange(11) % 3}, r"y_train has 11 labels for 12 images"),
    "test lengths differ": ({"y_test": np.zeros(9, int)}, r"y_test has 9 labels for 6 images"),
    "float labels": (
        {"y_train": np.arange(12) % 3 + 0.5},
        r"integer class numbers; got dtype float64 such as 0\.5\. Give every image the number",
    ),
    "whole float labels": (
        {"y_train": np.arange(12) % 3 + 0.0},
        r"float64 such as 0\.0\. Store y_train\.astype\('int64'\)",
    ),
    "NaN labels": (
        {"y_train": np.where(np.arange(12) == 5, np.nan, np.arange(12) % 3)},
        r"float64 such as nan\. Give every image the number",
    ),
    "string labels": (
        {"y_train": np.array(list("abc" * 4))},
        r"got dtype <U1 such as 'a'\. Store np\.unique\(y_train, return_inverse=True\)\[1\]\.",
    ),
    "bool labels": (
        {"y_train": np.arange(12) % 2 == 0},
        r"got dtype bool such as True\. Store y_train\.ast",
    ),
    "labels in three axes": (
        {"y_train": (np.arange(12) % 3)[:, None, None]},
        r"Store y_train\.squeeze\(\)",
    ),
    "several labels": (
        {"y_train": np.ones((12, 3), int)},
        r"Images of several classes at once are not supported",
    ),
    "one-hot labels": (
        {"y_train": np.eye(3, dtype=int)[np.arange(12) % 3]},
        r"store y_train\.argmax\(1\)",
    ),
    "negative label": ({"y_train": np.arange(12) % 3 - 1}, r"negative label -1, at image 0"),
    "label over 63 bits": (
        {"y_train": np.full(12, 2**64 - 1, np.uint64)},
        r"negative label -1",
    ),
    "one class": (
        {"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)},
        r"only one class \('0'\)",
    ),
    "numbered from 1": (
        {"y_train": np.arange(12) % 3 + 1},
        r"class 0\. The labels seem to be numbered from 1: subtract 1",
    ),
    "gap": (
        {"y_train": np.arange(12) % 3 * 2},
        r"no training image of class 1, 3\. Add images",
    ),
    "huge label": ({"y_train": np.arange(12) * 10**9}, r"y_train has the label 11000000000"),
    "test label out of range": (
        {"y_test": np.arange(6)},
        r"test label 5 of image 5 is out of range 0\.\.2",
    ),
    "label beyond names": (
        {"classes": np.array(["a", "b"])},
        r"training label 2 of image 2 is out of range 0\.\.1: there are 2 classes",
    ),
    "too many names": ({"classes": np.array(list("abcd"))}, r"no training image of class 3 \(d\)"),
    "repeated names": ({"classes": np.array(["a", "b", "a"])}, r"two classes called 'a'"),
    "numeric names": (
        {"classes": np.arange(3)},
        r"classes must be one axis of names; got shape \(3,\) and dtype int64",
    ),
    "matrix of names": (
        {"classes": np.array([["a", "b", "c"]])},
        r"one axis of names; got shape \(1, 3\)",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arrays_are_one_message(write_npz, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        _load(write_npz(**changes))
    assert "\n" not in str(caught.value)


def test_python_objects_are_not_unpickled(write_npz):
    with pytest.raises(
        DataError, match="y_train is an array of Python objects, which is not loaded"
    ):
        _load(write_npz(y_train=np.array([0, "one", None] * 4, dtype=object)))


def test_a_pickled_file_is_not_unpickled(tmp_path):
    import pickle

    path = tmp_path / "evil.npz"
    path.write_bytes(pickle.dumps({"x_train": 0}))
    with pytest.raises(DataError, match=r"evil\.npz cannot be read, .*it is no \.npz file"):
        _load(path)


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_truncated_file_is_called_damaged(write_npz, keep):
    path = write_npz()
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(
        DataError, match=r"images\.npz cannot be read, the file is damaged"
    ) as caught:
        _load(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_are_noticed(write_npz):
    path = write_npz()
    content = bytearray(path.read_bytes())
    content[400:420] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"x_train in .*images\.npz cannot be read, the file is damaged"
    ):
        _load(path)


def test_a_header_that_claims_too_much_is_refused(write_npz):
    path = write_npz(x_train=None)
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 9999, 9999, 3), }"
    header = header.ljust(118 - 1) + b"\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )
    with pytest.raises(DataError, match=r"x_train in .* cannot be read"):
        _load(path)


def test_a_zip_of_something_else_says_what_is_missing(tmp_path):
    path = tmp_path / "other.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(
        DataError, match=r"lacks x_train, y_train, x_test, y_test.* It has: readme\.txt"
    ):
        _load(path)


def test_a_single_array_is_no_dataset(tmp_path):
    path = tmp_path / "single.npy"
    np.save(path, FEW)
    with pytest.raises(DataError, match=r"holds one array; expected an \.npz file with x_train"):
        _load(path)


def test_a_missing_file_suggests_a_close_name(write_npz):
    path = write_npz()
    with pytest.raises(
        DataError,
        match=r"data\.path: no such file or folder: .*imagse\.npz\. Did you mean 'images\.npz'\?",
    ):
        _load(path.with_name("imagse.npz"))


def test_a_shared_extension_makes_no_names_alike(write_npz):
    path = write_npz()
    path.rename(path.with_name("neg.npz"))
    with pytest.raises(DataError, match=r"nothing called 'missing\.npz' is in it"):
        _load(path.with_name("missing.npz"))


def test_a_missing_folder_of_the_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"exists, but nothing called 'nowhere' is in it"):
        _load(tmp_path / "nowhere" / "deeper" / "images.npz")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x" * 300 + ".npz", "File name too long"),
        ("a\0b.npz", "null"),
        ("~no_such_user_here/images.npz", "write the path out"),
        (".", "is a folder; name an .npz file, or use 'image_folder'"),
        (f"{__file__}/images.npz", "Not a directory"),
    ],
)
def test_impossible_paths_are_one_message(path, message):
    with pytest.raises(DataError, match=message):
        _load(path)


@pytest.mark.skipif(
    not CIFAR.exists(),
    reason="needs real CIFAR-10 in shared/data, which is not part of the project",
)
def test_real_cifar_10_has_the_known_constants_and_splits_evenly():
    dataset = _load(CIFAR)
    assert dataset.input_shape == (3, 32, 32)
    assert dataset.class_names[0] == "airplane"
    assert_close(
        torch.tensor(dataset.normalize.mean), torch.tensor(CIFAR10_STATISTICS[0]), atol=4e-3, rtol=0
    )
    assert_close(
        torch.tensor(dataset.normalize.std), torch.tensor(CIFAR10_STATISTICS[1]), atol=4e-3, rtol=0
    )
    assert dataset.augment.padding == 4
    parts = split(dataset, 0.5, seed=0, batch_size=64)
    np.testing.assert_array_equal(np.bincount(parts.validation.labels), [500] * 10)
    batch = next(BatchLoader(parts.train, batch_size=64, seed=0).iterate(0))
    assert batch.images.shape == (64, 3, 32, 32)
    assert abs(float(batch.images.mean())) < 0.5


def test_a_device_is_no_file():
    with pytest.raises(DataError, match=r"data\.path: /dev/null is no regular file"):
        _load("/dev/null")


def test_random_damage_is_always_one_message_or_harmless(write_npz):
    path = write_npz()
    whole = path.read_bytes()
    messages = []
    for _ in range(300):
        content = bytearray(whole)
        for place in random.integers(len(content), size=3):
            content[place] = random.integers(256)
        path.write_bytes(content)
        try:
            _load(path)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert not any("\n" in message for message in messages)


def test_a_zip_feature_that_python_lacks_is_one_message(write_npz):
    path = write_npz()
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 6 : directory + 8] = (255).to_bytes(2, "little")  # version to extract
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read.*zip file version 25\.5"):
        _load(path)
