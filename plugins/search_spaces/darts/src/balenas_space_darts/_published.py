"""Cells that papers report, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.texts import bare_text
from balenas_core.plugins.suggest import did_you_mean
from balenas_space_darts._architecture import DartsArchitecture, DartsCell, Pair

_CODE: Final = {
    "m": "max_pool_3x3",
    "a": "avg_pool_3x3",
    "s": "skip_connect",
    "3": "sep_conv_3x3",
    "5": "sep_conv_5x5",
    "7": "sep_conv_7x7",
    "d": "dil_conv_3x3",
    "D": "dil_conv_5x5",
    "c": "conv_7x1_1x7",
}


def _cell(text: str, concat: tuple[int, ...] = (2, 3, 4, 5)) -> DartsCell:
    """Read pairs such as ``31``: a letter of ``_CODE`` and an input."""
    pairs: tuple[Pair, ...] = tuple((_CODE[pair[0]], int(pair[1])) for pair in text.split())
    return DartsCell(pairs, concat)


PUBLISHED: Final[Mapping[str, DartsArchitecture]] = MappingProxyType(
    {
        "DARTS_V1": DartsArchitecture(
            _cell("31 30  s0 31  s0 31  30 s2"), _cell("m0 m1  s2 m0  m0 s2  s2 a0")
        ),
        "DARTS_V2": DartsArchitecture(
            _cell("30 31  30 31  31 s0  s0 d2"), _cell("m0 m1  s2 m1  m0 s2  s2 m1")
        ),
        "PDARTS": DartsArchitecture(
            _cell("s0 d1  s0 31  31 33  30 D4"), _cell("a0 51  30 D2  m0 d1  d1 D3")
        ),
        "PC_DARTS_CIFAR": DartsArchitecture(
            _cell("31 s0  30 d1  50 31  a0 d1"), _cell("51 m0  51 52  30 33  31 32")
        ),
        "PC_DARTS_IMAGENET": DartsArchitecture(
            _cell("s1 30  30 s1  31 33  31 D4"), _cell("30 s1  D2 m1  32 31  50 33")
        ),
        "DRNAS_CIFAR10": DartsArchitecture(
            _cell("30 51  31 32  s0 31  32 D3"), _cell("m0 51  D2 51  51 D3  s4 51")
        ),
        "DRNAS_IMAGENET": DartsArchitecture(
            _cell("31 30  30 31  30 d3  s0 31"), _cell("m0 31  30 s2  30 32  33 31")
        ),
        "NASNET": DartsArchitecture(
            _cell("51 30  50 30  a1 s0  a0 a0  31 s1", (2, 3, 4, 5, 6)),
            _cell("51 70  m1 70  a1 50  s3 a2  32 m1", (4, 5, 6)),
        ),
        "AMOEBANET": DartsArchitecture(
            _cell("a0 m1  30 52  30 a3  31 s1  s0 a1", (4, 5, 6)),
            _cell("a0 31  m0 72  70 a1  m0 m1  c0 35", (3, 4, 6)),
        ),
        "ENAS": DartsArchitecture(
            _cell("a0 30  s0 50  s0 51  31 50  a0 51", (2, 3, 4, 5, 6)),
            _cell("31 31  m0 a0  51 53  31 s0  m0 51", (2, 4, 5, 6)),
        ),
    }
)
"""Name -> architecture. NASNET, AMOEBANET and ENAS have more nodes or operations than the space:
networks can be built of them, but no supernet holds them. ENAS is the cell that the authors'
released code trains (``scripts/cifar10_micro_final.sh``); the copies of their paper's figure
that go around are another cell, and differ among themselves.

References:
    Liu et al. 2019, "DARTS", ICLR (V1 first, V2 second order; also for the NASNet-A and
    AmoebaNet-A cells in this form). Chen et al. 2019, "P-DARTS", ICCV. Xu et al. 2020,
    "PC-DARTS", ICLR. Chen et al. 2021, "DrNAS", ICLR. Pham et al. 2018, "ENAS", ICML.
"""

_OTHER_NAMES: Final = {
    "DARTS": "DARTS_V2",  # as the DARTS code itself has it
    "PCDARTS": "PC_DARTS_CIFAR",
    "PCDARTSCIFAR10": "PC_DARTS_CIFAR",
    "DRNAS": "DRNAS_CIFAR10",
    "DRNASCIFAR": "DRNAS_CIFAR10",
}


def named(text: str) -> str | None:
    """Return the name that a text is, without anything but letters and digits; None if none."""
    bare = bare_text(text)
    return re.sub(r"[\W_]", "", bare).upper() if re.fullmatch(r"[A-Za-z][\w\- ]*", bare) else None


def published(text: str) -> DartsArchitecture:
    """Return the architecture of a name; case, blanks, ``-`` and ``_`` make no difference.

    Raises:
        ArchitectureError: None is called like this.
    """
    name = named(text)
    for known, architecture in PUBLISHED.items():
        if _OTHER_NAMES.get(name or "", name) in (known, known.replace("_", "")):
            return architecture
    bare = bare_text(text)
    shown = bare if len(bare) <= 60 else f"{bare[:57]}..."
    raise ArchitectureError(
        f"no published architecture {shown!r}.{did_you_mean(bare.upper(), PUBLISHED)} "
        f"Known: {', '.join(PUBLISHED)}; or write a Genotype(normal=[...], ...)."
    )
