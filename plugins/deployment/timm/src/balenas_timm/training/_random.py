"""Random numbers for code that draws from the global generators of Python and NumPy."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_like_torch() -> Iterator[None]:
    """Seed Python's and NumPy's global generators from torch's, and restore them after the block.

    timm's augmentation draws from all three, and the loader seeds torch's for each image.
    """
    seed = int(torch.randint(2**32, ()))
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
