from __future__ import annotations

import os
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torch.testing import assert_close

from balenas_core.data import BatchLoader, ImageFolderOptions, image_folder, split, training_part
from balenas_core.data._folder import load
from balenas_core.data._image_files import suffixes
from balenas_core.errors import DataError


def _write(path, size=(20, 14), mode="RGB", seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    shape = size[::-1] if mode == "L" else (*size[::-1], len(mode))
    Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8), mode).save(path)
    return path


def _fill(root, classes=("cat", "dog"), count=6):
    for c, name in enumerate(classes):
        for i in range(count):
            _write(root / name / f"{i}.png", size=(16 + i, 14 + c), seed=10 * c + i)
    return root


def _load(root, **options):
    return load(ImageFolderOptions(root=root, **{"size": 8} | options))


def test_class_folders_become_labels_in_alphabetical_order(tmp_path):
    dataset = image_folder.load_implementation()(
        ImageFolderOptions(root=_fill(tmp_path, ("dog", "ant", "cat")), test_fraction=0)
    )
    assert dataset.class_names == ("ant", "cat", "dog")
    assert dataset.test is None
    for path, label in zip(dataset.train.paths, dataset.train.labels, strict=True):
        assert path.parent.name == dataset.class_names[label]


def test_pixels_are_those_of_the_file(tmp_path):
    dataset = _load(_fill(tmp_path), test_fraction=0)
    with Image.open(dataset.train.paths[3]) as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(dataset.train[3], expected)


def test_a_fixed_stratified_part_is_held_out(tmp_path):
    dataset = _load(_fill(tmp_path, count=10))
    assert np.bincount(dataset.test.labels).tolist() == [2, 2]
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert not set(dataset.train.paths) & set(dataset.test.paths)
    assert _load(tmp_path, size=16).test.paths == dataset.test.paths


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize("held_out", ["test", "val", "validation", "valid", "Test", "VALID"])
def test_train_and_held_out_folders_are_used(tmp_path, train, held_out, caplog):
    _fill(tmp_path / train)
    _fill(tmp_path / held_out, count=3)
    dataset = _load(tmp_path)
    assert caplog.text == ""
    assert (len(dataset.train), len(dataset.test)) == (12, 6)
    assert dataset.test.paths[0].parents[1].name == held_out


def test_the_test_folder_goes_before_val(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "val", count=2)
    _fill(tmp_path / "test", count=3)
    assert len(_load(tmp_path).test) == 6


def test_folders_of_other_parts_are_counted(tmp_path, caplog):
    _fill(tmp_path / "train")
    _fill(tmp_path / "test", count=3)
    _fill(tmp_path / "validation", count=4)
    _load(tmp_path)
    assert f"not used of {tmp_path}: 8 images in the folder validation" in caplog.text


def test_two_folders_for_one_part_are_refused(tmp_path):
    _fill(tmp_path / "train")
    _fill(tmp_path / "Train")
    with pytest.raises(DataError, match="both 'Train' and 'train'; which of them is meant"):
        _load(tmp_path)


def test_held_out_folders_alone_are_no_classes(tmp_path):
    _fill(tmp_path / "Test")
    _fill(tmp_path / "val")
    with pytest.raises(DataError, match="has Test, val, but no folder 'train' with the images"):
        _load(tmp_path)


def test_held_out_images_without_classes_are_not_to_be_removed(tmp_path):
    _fill(tmp_path / "train")
    _write(tmp_path / "test" / "0.png")
    with pytest.raises(DataError, match=r"held-out images without classes do not belong into"):
        _load(tmp_path)


def test_a_train_folder_alone_has_no_test_part(tmp_path):
    _fill(tmp_path / "train")
    assert _load(tmp_path).test is None


def test_images_of_any_size_and_mode_become_one_shape(tmp_path):
    _fill(tmp_path)
    _write(tmp_path / "cat" / "grey.jpg", size=(9, 30), mode="L")
    _write(tmp_path / "dog" / "alpha.png", size=(5, 5), mode="RGBA")
    dataset = _load(tmp_path, size=12, test_fraction=0, cutout=3)
    for part in (split(dataset, 0.5, seed=0).train, split(dataset, 0.5, seed=0).validation):
        for batch in BatchLoader(part, batch_size=2, seed=0).iterate(0):
            assert batch.images.shape == (2, 3, 12, 12)
            assert batch.images.dtype == torch.float32
    assert dataset.input_shape == (3, 12, 12)


def test_batches_do_not_depend_on_workers(tmp_path):
    part = split(_load(_fill(tmp_path), test_fraction=0), 0.5, seed=0).train
    alone = BatchLoader(part, batch_size=2, seed=0)
    with BatchLoader(part, batch_size=2, seed=0, workers=2) as loader:
        for a, b in zip(alone.iterate(1), loader.iterate(1), strict=True):
            assert torch.equal(a.images, b.images)


def test_training_views_are_random_and_validation_views_are_not(tmp_path):
    dataset = _load(_fill(tmp_path), test_fraction=0)
    image = dataset.train[0]
    assert_close(dataset.normalize(image), dataset.normalize(image))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        assert not torch.equal(dataset.augment(image), dataset.augment(image))
    plain = _load(tmp_path, test_fraction=0, augment=False)
    assert_close(plain.augment(image), dataset.normalize(image))


def test_transforms_survive_pickling_for_spawned_workers(tmp_path):
    dataset = _load(_fill(tmp_path), test_fraction=0)
    image = dataset.train[0]
    copy = pickle.loads(pickle.dumps(dataset.augment))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        expected = dataset.augment(image)
        torch.manual_seed(0)
        assert_close(copy(image), expected)


def test_what_is_left_out_is_named_and_counted(tmp_path, caplog):
    _fill(tmp_path)
    _write(tmp_path / "cat" / "2020" / "may" / "0.png")
    _write(tmp_path / "dog" / "2021" / "0.JPG")
    for name in ("a.heic", "b.HEIC", "notes.txt", "LICENSE", ".hidden.png"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    assert len(_load(tmp_path, test_fraction=0).train) == 12
    nested = f"2 images in folders below class folders, such as {tmp_path / 'cat' / '2020'}"
    assert f"not used of {tmp_path}: {nested}; 4 other files: .heic (2), .txt (1), no en" in (
        caplog.text
    )


def test_a_class_with_images_in_folders_alone_says_where_they_are(tmp_path):
    _fill(tmp_path)
    _write(tmp_path / "emu" / "2020" / "0.png")
    with pytest.raises(DataError, match=r"emu holds no image files .* but 1 in folders .*2020\."):
        _load(tmp_path)


@pytest.mark.parametrize("ending", [".gif", ".jfif", ".avif", ".JPG", ".webp", ".tif", ".bmp"])
def test_every_format_that_pil_reads_is_used(tmp_path, ending):
    if ending not in suffixes() | {ending.upper()}:
        pytest.skip(f"this Pillow does not read {ending}")
    _fill(tmp_path)
    _write(tmp_path / "cat" / f"new{ending}")
    dataset = _load(tmp_path, test_fraction=0)
    assert len(dataset.train) == 13
    path = tmp_path / "cat" / f"new{ending}"
    assert dataset.train[dataset.train.paths.index(path)].shape == (3, 14, 20)


def test_images_are_turned_as_the_camera_was_held(tmp_path):
    _fill(tmp_path)
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, :15] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "cat" / "turned.png", exif=exif)
    dataset = _load(tmp_path, test_fraction=0)
    image = dataset.train[dataset.train.paths.index(tmp_path / "cat" / "turned.png")]
    assert image.shape == (3, 30, 10)
    assert (image[:, :15] == 255).all()
    assert (image[:, 15:] == 0).all()


def test_palettes_with_transparency_are_read_without_a_warning(tmp_path):
    _fill(tmp_path)
    palette = Image.new("P", (9, 9), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "cat" / "p.png", transparency=bytes([0, 128]))
    dataset = _load(tmp_path, test_fraction=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = dataset.train[dataset.train.paths.index(tmp_path / "cat" / "p.png")]
    assert image[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "ending", [".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".ppm", ".avif"]
)
def test_files_that_end_too_early_are_all_named_before_a_search(tmp_path, ending):
    if ending not in suffixes():
        pytest.skip(f"this Pillow does not read {ending}")
    _fill(tmp_path)
    for name in ("a", "b"):
        path = _write(tmp_path / "cat" / f"{name}{ending}", size=(64, 64))
        path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=rf"2 files are .*a\{ending}, .*b\{ending}\."):
        _load(tmp_path)


def test_a_wrong_byte_inside_a_png_is_found_before_a_search(tmp_path):
    _fill(tmp_path)
    path = _write(tmp_path / "cat" / "bad.png", size=(64, 64))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1 file is no readable image: .*bad\.png"):
        _load(tmp_path)


def test_a_jpeg_with_something_behind_its_end_is_whole(tmp_path):
    _fill(tmp_path)
    path = _write(tmp_path / "cat" / "more.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes() + bytes(10_000))
    assert len(_load(tmp_path, test_fraction=0).train) == 13


def test_nothing_is_decoded_before_a_search(tmp_path, monkeypatch):
    _fill(tmp_path)
    for ending in (".jpg", ".webp", ".gif", ".tif"):
        _write(tmp_path / "cat" / f"x{ending}")

    def load(image):
        raise AssertionError(f"{image.filename} was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    _load(tmp_path)


def test_an_image_that_would_fill_the_memory_says_so(tmp_path, monkeypatch):
    _fill(tmp_path)
    _write(tmp_path / "cat" / "huge.png", size=(64, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(
        DataError, match=r"1 file has more than 2,000 pixels, .*decompression bomb.*huge\.png"
    ):
        _load(tmp_path)


def test_all_kinds_of_bad_files_are_named_at_once(tmp_path):
    _fill(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.full((9, 9), 40000, dtype=np.uint16)).save(tmp_path / "dog" / "deep.png")
    with pytest.raises(DataError, match=r"(?s)broken\.png.*deep\.png"):
        _load(tmp_path)


def test_a_pipe_is_no_image(tmp_path):
    _fill(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    assert len(_load(tmp_path, test_fraction=0).train) == 12


def test_hidden_and_other_files_are_left_out(tmp_path):
    _fill(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    assert len(_load(tmp_path, test_fraction=0).train) == 12


def test_one_file_that_is_no_image_is_named(tmp_path):
    _fill(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 file is no readable .*broken\.png\. .* remove it\."):
        _load(tmp_path)


def test_files_that_are_no_images_are_all_named_at_once(tmp_path):
    _fill(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    (tmp_path / "dog" / "empty.jpg").write_bytes(b"")
    with pytest.raises(
        DataError,
        match=r"2 files are no readable image: .*broken\.png, .*empty\.jpg\. .* or remove them",
    ):
        _load(tmp_path)


def test_more_than_five_bad_files_are_counted(tmp_path):
    _fill(tmp_path)
    for i in range(7):
        (tmp_path / "cat" / f"broken{i}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"7 files are .*broken4\.png and 2 more\."):
        _load(tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_named_when_it_is_read(tmp_path, workers):
    _fill(tmp_path)
    path = _write(tmp_path / "cat" / "cut.png", size=(64, 64))
    part = training_part(_load(tmp_path, test_fraction=0))
    path.write_bytes(path.read_bytes()[:2000])
    with (
        BatchLoader(part, batch_size=1, seed=0, workers=workers) as loader,
        pytest.raises(DataError, match=r"1 file is no readable image: .*cut\.png\.") as caught,
    ):
        list(loader.iterate(0))
    assert "Traceback" not in str(caught.value)


def test_sixteen_bit_images_are_refused_instead_of_clipped(tmp_path):
    _fill(tmp_path)
    deep = np.full((9, 9), 40000, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "dog" / "deep.png")
    with pytest.raises(DataError, match=r"1 images have more than 8 bits .*deep\.png\. Convert"):
        _load(tmp_path)


def test_a_missing_folder_suggests_a_close_name(tmp_path):
    _fill(tmp_path / "animals")
    with pytest.raises(
        DataError, match=r"data\.root: no such file or folder: .* Did you mean 'animals'\?"
    ):
        _load(tmp_path / "animls")


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "animals.zip"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read folder .*Not a directory"):
        _load(path)


def test_a_folder_without_class_folders_says_what_it_should_look_like(tmp_path):
    _write(tmp_path / "0.png")
    with pytest.raises(DataError, match="at least two subfolders, one per class; found none"):
        _load(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    with pytest.raises(DataError, match="one per class; found only 'cat'"):
        _load(_fill(tmp_path, ("cat",)))


def test_an_empty_class_folder_is_named(tmp_path):
    _fill(tmp_path)
    (tmp_path / "emu").mkdir()
    with pytest.raises(
        DataError, match=r"class folder .*emu holds no image files .*or move the folder out of"
    ):
        _load(tmp_path)


def test_classes_of_both_parts_must_agree(tmp_path):
    _fill(tmp_path / "train", ("cat", "dog"))
    _fill(tmp_path / "test", ("cat", "emu"))
    with pytest.raises(DataError, match=r"differ: only in .*train: dog; only in .*test: emu"):
        _load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_a_folder_without_permission_is_named(tmp_path):
    _fill(tmp_path)
    (tmp_path / "cat").chmod(0)
    try:
        with pytest.raises(DataError, match=r"cannot read folder .*cat: Permission denied"):
            _load(tmp_path)
    finally:
        (tmp_path / "cat").chmod(0o700)
