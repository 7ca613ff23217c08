"""Folders of image files: the parts of a dataset, its classes, and what belongs to neither."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from balenas_core.data._image_files import suffixes
from balenas_core.errors import DataError

_log = logging.getLogger(__name__)

_TRAINING: Final = ("train", "training")
_HELD_OUT: Final = ("test", "testing", "val", "validation", "valid")
"""In the order in which they are held out, where there are several."""

_IGNORED: Final = frozenset({"__MACOSX"})
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The image files of a part, by class, and what lies beside them.

    Args:
        root: Folder of the class folders.
        classes: Name of a class -> its image files, sorted.
        nested: Folder below a class folder -> how many image files it has.
        others: Ending of other files -> how many there are.
    """

    root: Path
    classes: Mapping[str, Sequence[Path]]
    nested: Mapping[Path, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)


def find_parts(root: Path) -> tuple[Found, Found | None]:
    """Return the training images below a folder, and the held-out ones if they have a folder.

    What is left out is said in a warning.

    Raises:
        DataError: A folder cannot be read, a class has no images, or the parts differ.
    """
    folders = {name: root / name for name in _names(root, folders=True)}
    train_root = _part(root, folders, _TRAINING)
    held_out = [f for name in _HELD_OUT if (f := _part(root, folders, (name,))) is not None]
    if train_root is None:
        if held_out and len(held_out) == len(folders):
            raise DataError(
                f"{root} has {', '.join(f.name for f in held_out)}, but no folder 'train' with the "
                "images to learn from. Name it so, or name one class folder less like a part."
            )
        found = _scan(root)
        _warn(root, [found], {})
        return found, None
    train = _scan(train_root)
    test_root = held_out[0] if held_out else None
    unused = {
        folder.name: _images_below(folder)
        for folder in folders.values()
        if folder not in (train_root, test_root)
    }
    if test_root is None:
        _warn(root, [train], unused)
        return train, None
    test = _scan(test_root, beside=train)
    _warn(root, [train, test], unused)
    return train, test


def _part(root: Path, folders: Mapping[str, Path], names: Iterable[str]) -> Path | None:
    """Return the folder of one of these names, whatever its case."""
    found = [folder for name, folder in folders.items() if name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"{root} has both {found[0].name!r} and {found[1].name!r}; which of them is meant "
            "cannot be told. Give one of them another name."
        )
    return found[0] if found else None


def _names(folder: Path, *, folders: bool) -> list[str]:
    """Return the sorted names of the subfolders, or of the files, of a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and entry.name not in _IGNORED
                and (entry.is_dir() if folders else entry.is_file())
            )
    except OSError as error:
        raise DataError(
            f"cannot read folder {folder}: {error.strerror}. data.root must be a folder with one "
            "readable subfolder per class."
        ) from error


def _scan(root: Path, *, beside: Found | None = None) -> Found:
    """Return the images of the class folders in ``root``; the same classes as ``beside``."""
    names = _names(root, folders=True)
    if beside is not None and names != list(beside.classes):
        _refuse_differences(beside, root, names)
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise DataError(
            f"{root} must have at least two subfolders, one per class; found {found}. Sort the "
            "images into root/class/file, or root/train/class/file."
        )
    known = suffixes()
    classes: dict[str, Sequence[Path]] = {}
    nested: dict[Path, int] = {}
    others: Counter[str] = Counter()
    for name in names:
        folder = root / name
        images = []
        for path in (folder / file for file in _names(folder, folders=False)):
            if path.suffix.lower() in known:
                images.append(path)
            else:
                others[path.suffix.lower() or "no ending"] += 1
        below = {
            folder / inner: count
            for inner in _names(folder, folders=True)
            if (count := _images_below(folder / inner))
        }
        nested |= below
        if not images:
            raise DataError(
                f"class folder {folder} holds no image files ({', '.join(sorted(known))})"
                f"{_instead(below)}. Put the images of the class into it, or move the folder "
                f"out of {root}."
            )
        classes[name] = images
    return Found(root, classes, nested, others)


def _instead(below: Mapping[Path, int]) -> str:
    if not below:
        return ""
    return f", but {sum(below.values())} in folders below it, such as {next(iter(below))}"


def _refuse_differences(train: Found, test_root: Path, names: Sequence[str]) -> None:
    only = {
        train.root: sorted(set(train.classes) - set(names)),
        test_root: sorted(set(names) - set(train.classes)),
    }
    differences = "; ".join(f"only in {p}: {', '.join(n)}" for p, n in only.items() if n)
    raise DataError(
        f"the class folders of {train.root} and {test_root} differ: {differences}. Give both "
        f"the same names; held-out images without classes do not belong into {test_root.parent}."
    )


def _images_below(folder: Path) -> int:
    known = suffixes()
    return sum(
        os.path.splitext(name)[1].lower() in known
        for _, _, files in os.walk(folder)
        for name in files
        if not name.startswith(".")
    )


def _warn(root: Path, parts: Sequence[Found], unused: Mapping[str, int]) -> None:
    """Say what is not used, and how much it is."""
    nested = {folder: count for part in parts for folder, count in part.nested.items()}
    others = sum((Counter(part.others) for part in parts), Counter[str]())
    said = [f"{count} images in the folder {name}" for name, count in unused.items() if count]
    if nested:
        said.append(
            f"{sum(nested.values())} images in folders below class folders, such as "
            f"{next(iter(nested))}"
        )
    if others:
        by_count = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
        kinds = [f"{ending} ({count})" for ending, count in by_count[:_SHOWN]]
        more = f" and {len(others) - _SHOWN} more kinds" if len(others) > _SHOWN else ""
        said.append(f"{others.total()} other files: {', '.join(kinds)}{more}")
    if said:
        _log.warning("not used of %s: %s", root, "; ".join(said))
