"""Lets pytest show the values in a kit's assertions, as it does in a test module."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path


def rewrite_assertions(package: str, folder: Path) -> None:
    """Register a kit's modules, where pytest is what imports them. They come after this.

    Args:
        package: The package of the kit.
        folder: Where it lies.
    """
    if "pytest" not in sys.modules:
        return
    import pytest

    modules = (f"{package}.{module.name}" for module in pkgutil.iter_modules([str(folder)]))
    pytest.register_assert_rewrite(*(name for name in modules if name not in sys.modules))
