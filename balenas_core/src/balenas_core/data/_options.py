"""Options of the dataset plugins. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from balenas_core.plugins.options import PluginOptions

ArrayName = Literal["x_train", "y_train", "x_test", "y_test", "classes"]
"""What an array of an ``.npz`` file is for."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ImageOptions(PluginOptions):
    """Options that every image dataset has."""

    augment: bool = Field(
        default=True, description="Change training images at random; false for none at all."
    )
    cutout: int = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Side in pixels of the square that cutout masks; 0 for none.",
    )
    mean: tuple[_Finite, ...] | None = Field(
        default=None, description="Mean per channel of pixels in 0..1, to subtract."
    )
    std: tuple[_Positive, ...] | None = Field(
        default=None, description="Standard deviation per channel of pixels in 0..1, to divide by."
    )


class ArrayOptions(ImageOptions):
    """Options of datasets whose images all have one size and fit in memory."""

    padding: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="Zero pixels added at each side before a random crop to the original size; "
        "by default an eighth of the shorter side.",
    )
    flip: bool = Field(default=True, description="Mirror every second training image.")


class DigitsOptions(ArrayOptions):
    """Options of ``digits``."""

    flip: bool = Field(
        default=False, description="Mirror every second training image; changes what digits mean."
    )


class CifarOptions(ArrayOptions):
    """Options of ``cifar10`` and ``cifar100``."""

    root: Path = Field(
        default=Path("data"), description="Folder that holds, or will hold, the dataset."
    )
    download: bool = Field(default=False, description="Download what is missing into the root.")


class NpzOptions(ArrayOptions):
    """Options of ``npz``."""

    path: Path = Field(
        description="The .npz file: x_train and x_test of n x height x width x channels, or "
        "n x height x width for grey images, integers in 0..255 or floats in 0..1, y_train and "
        "y_test of n class numbers, optionally classes (names). MedMNIST's names are known, too."
    )
    range: tuple[_Finite, _Finite] | None = Field(
        default=None,
        description="Values that become black and white, for pixels that are not in 0..255 or "
        "0..1, such as [-1024, 3071]; the same for both parts.",
    )
    arrays: dict[ArrayName, str] = Field(
        default={},
        description="Names of the arrays in the file, where they are others, such as "
        "x_train: train_images.",
    )

    @field_validator("range")
    @classmethod
    def _ascends(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError("the second number must be greater than the first")
        return value


class ImageFolderOptions(ImageOptions):
    """Options of ``image_folder``."""

    root: Path = Field(
        description="Folder with one subfolder per class, or with train/ and test/ (or val/, "
        "validation/, valid/) that have one subfolder per class each."
    )
    size: int = Field(
        default=64, ge=4, le=16_384, description="Height and width in pixels of the images."
    )
    flip: bool = Field(default=True, description="Mirror every second training image.")
    min_crop: float = Field(
        default=0.08, gt=0, le=1, description="Smallest part of an image's area that a crop keeps."
    )
    cache: bool = Field(
        default=False,
        description="Keep decoded images on the disk, in the folder for caches, from where they "
        "are mapped into memory: as many bytes as all images have pixels, times three.",
    )
    test_fraction: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Part of every class that is held out when there is no test/ or val/; 0 for "
        "none.",
    )
