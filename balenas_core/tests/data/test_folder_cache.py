"""What is kept of a folder of images between searches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from balenas_core.benchmarks import cache_folder
from balenas_core.data import ImageFolderOptions, _folder_index as folder_index, image_folder
from balenas_core.errors import DataError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of two classes with images of different sizes, one of them on its side."""
    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (9 + number, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "cat" / "turned.jpg", exif=exif)
    return folder


def load(root, **options):
    made = image_folder.load_implementation()
    return made(ImageFolderOptions(root=root, size=8, test_fraction=0, **options))


def looked_into(monkeypatch):
    """Count the files that are looked into."""
    seen = []
    check = folder_index.check_files

    def counting(paths):
        seen.extend(path.name for path in paths)
        return check(paths)

    monkeypatch.setattr(folder_index, "check_files", counting)
    return seen


def test_files_are_looked_into_once(root, monkeypatch):
    seen = looked_into(monkeypatch)
    load(root)
    assert len(seen) == 9
    load(root)
    assert len(seen) == 9


def test_a_file_that_is_new_or_written_since_is_looked_into(root, monkeypatch):
    load(root)
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(root / "dog" / "0.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "dog" / "new.png")
    seen = looked_into(monkeypatch)
    load(root)
    assert seen == ["0.png", "new.png"]


def test_a_file_that_was_damaged_since_is_named(root):
    load(root)
    (root / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no readable image: .*dog/1\.png"):
        load(root)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_an_index_that_is_damaged_is_made_anew(root, monkeypatch, content):
    load(root)
    (index,) = (cache_folder() / "image_folders").iterdir()
    index.write_bytes(content)
    seen = looked_into(monkeypatch)
    load(root)
    load(root)
    assert len(seen) == 9


def test_a_cache_that_cannot_be_written_only_costs_time(root, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BALENAS_CACHE", str(tmp_path / "file" / "cache"))
    assert len(load(root).train) == 9


def test_decoded_images_are_those_of_the_files_the_first_time_and_the_second(root):
    plain, kept = load(root).train, load(root, cache=True).train
    for _ in range(2):
        assert all(torch.equal(kept[i], plain[i]) for i in range(9))


def test_what_is_decoded_is_not_read_from_its_file_again(root, monkeypatch):
    kept = load(root, cache=True).train
    before = [kept[i] for i in range(9)]
    monkeypatch.setattr("balenas_core.data._decoded.decode", None)
    again = load(root, cache=True).train
    assert all(torch.equal(again[i], image) for i, image in enumerate(before))


def test_pixels_that_were_not_wholly_written_are_decoded_again(root):
    kept = load(root, cache=True).train
    before = [kept[i] for i in range(9)]
    (file,) = (cache_folder() / "decoded").iterdir()
    with file.open("r+b") as opened:
        opened.seek(40)
        opened.write(bytes(20))
    assert all(torch.equal(kept[i], image) for i, image in enumerate(before))


def test_another_process_opens_the_file_itself(root):
    kept = load(root, cache=True).train
    first = kept[0]
    assert torch.equal(pickle.loads(pickle.dumps(kept))[0], first)


def test_too_little_room_is_refused_with_what_to_set(root, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match="Set BALENAS_CACHE to a folder on a larger disk"):
        load(root, cache=True)
