"""Image files: what is damaged is found by their structure, and colours are RGB."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from balenas_core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_WANTED: Final = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff"}
    | {".webp"}
)
_SHOWN: Final = 5
_TAIL: Final = 4096
"""Bytes at the end of a file where the mark of the end is looked for; some programs add to it."""

_CHECKSUMMED: Final = 1 << 28
"""Bytes of PNG files whose checksums are computed before a search; more would take too long."""

_ORIENTATION: Final = 0x0112
_TURNED: Final = range(5, 9)
"""EXIF's tag, and its values for an image that lies on its side."""

_STRIPS: Final = ((273, 279), (324, 325))
"""TIFF's tags of offsets and lengths, of strips and of tiles."""


@cache
def suffixes() -> frozenset[str]:
    """Return the endings of files that are taken for images: those that PIL here can read."""
    from PIL import Image

    return _WANTED & Image.registered_extensions().keys()


def decode(path: Path) -> NDArray[np.uint8]:
    """Return `height x width x 3`-dim pixels, turned as the camera was held; of several, the first.

    Raises:
        DataError: The file is no image, or is damaged.
    """
    from PIL import Image, ImageOps

    try:
        with _without_warnings(), Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            # What a transparent pixel of a palette looks like is said by its colour, too.
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.array(upright.convert("RGB"))
    except Exception as error:  # damaged files make PIL raise almost anything
        raise DataError(f"{_unreadable([path])} ({error})") from error


def check_files(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Name all files that are no images, or not all of one, before a search starts.

    Nothing is decoded: the header is read, and the end looked at. Of damage inside of a file,
    only that in a PNG is found, by its checksums, unless there are too many.

    Returns:
        Height and width of each image, turned as the camera was held.

    Raises:
        DataError: Some are damaged, have more than 8 bits a channel, or would need too much
            memory.
    """
    from PIL import Image

    unreadable, deep, huge = [], [], []
    sizes = []
    checksummed = 0
    for path in paths:
        try:
            with _without_warnings(), path.open("rb") as stream, Image.open(stream) as image:
                sizes.append(_size(image))
                size = stream.seek(0, 2)
                if not _is_whole(image, stream, size):
                    unreadable.append(path)
                # PIL clips such pixels to 255 when it converts them: nearly all become white.
                elif image.mode.startswith(("I", "F")):
                    deep.append(path)
                elif image.format == "PNG" and checksummed < _CHECKSUMMED:
                    checksummed += size
                    stream.seek(0)
                    image.verify()
        except Image.DecompressionBombError:
            huge.append(path)
        except Exception:  # damaged files make PIL raise almost anything
            unreadable.append(path)
    problems = []
    if unreadable:
        problems.append(_unreadable(unreadable))
    if huge:
        problems.append(
            f"{_count(huge)} more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, which would "
            f"fill the memory (a decompression bomb): {_names(huge)}. Scale down or remove "
            f"{_them(huge)}."
        )
    if deep:
        problems.append(
            f"{len(deep)} images have more than 8 bits per channel, such as {deep[0]}. Convert "
            "them to 8 bits."
        )
    if problems:
        raise DataError("\n".join(problems))
    return sizes


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Other formats would be decoded for it.
    is_turned = image.format in ("JPEG", "MPO") and image.getexif().get(_ORIENTATION) in _TURNED
    return (width, height) if is_turned else (height, width)


def _is_whole(image: Image.Image, stream: IO[bytes], size: int) -> bool:
    """Whether a file reaches to its end, as far as its format tells; otherwise, decode it."""
    stream.seek(max(0, size - _TAIL))
    tail = stream.read()
    if image.format in ("JPEG", "MPO"):
        ends = b"\xff\xd9" in tail
    elif image.format == "PNG":
        ends = b"IEND" in tail
    elif image.format == "GIF":
        ends = tail.rstrip(b"\0").endswith(b";")
    elif image.format == "WEBP":
        stream.seek(4)
        ends = struct.unpack("<I", stream.read(4))[0] + 8 <= size
    elif image.format == "TIFF":
        ends = _tiff_end(image) <= size
    else:
        ends = False
    stream.seek(0)
    if not ends:
        image.load()  # raises where something is missing
    return True


def _tiff_end(image: Any) -> int:
    tags = image.tag_v2
    for offsets, lengths in _STRIPS:
        if offsets in tags and lengths in tags:
            return int(max(map(sum, zip(tags[offsets], tags[lengths], strict=True))))
    return 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep to ourselves what PIL says of odd palettes, tags and sizes that it can read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unreadable(paths: Sequence[Path]) -> str:
    count = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
    return f"{count} no readable image: {_names(paths)}. Replace or remove {_them(paths)}."


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more


def _count(paths: Sequence[Path]) -> str:
    return "1 file has" if len(paths) == 1 else f"{len(paths)} files have"


def _them(paths: Sequence[Path]) -> str:
    return "it" if len(paths) == 1 else "them"
