"""Lets pytest show the values in the kit's assertions, as it does in a test module."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path


def rewrite_assertions() -> None:
    """Register the kit's modules, where pytest is what imports them. They come after this one."""
    if "pytest" not in sys.modules:
        return
    import pytest

    package = __name__.rpartition(".")[0]
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    pytest.register_assert_rewrite(
        *(f"{package}.{name}" for name in modules if f"{package}.{name}" not in sys.modules)
    )
