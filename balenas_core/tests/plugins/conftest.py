"""Plugins as pip would install them: a ``*.dist-info`` folder and a module on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return ``install(distribution, module, source, {group: {name: target}})``."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def install(
        distribution: str,
        module: str,
        source: str,
        entry_points: dict[str, dict[str, str]],
        *,
        metadata: str | None = None,
    ) -> Path:
        folder = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        (folder / "METADATA").write_text(text if metadata is None else metadata)
        sections = (
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
            for group, names in entry_points.items()
        )
        (folder / "entry_points.txt").write_text("\n".join(sections))
        (site / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return folder

    yield install
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
            del sys.modules[name]
