"""The public interface changes on purpose only."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from public_api import FILE, text


def test_the_public_interface_is_the_recorded_one():
    recorded, now = FILE.read_text(encoding="utf-8"), text()
    difference = "\n".join(
        difflib.unified_diff(recorded.splitlines(), now.splitlines(), "recorded", "now", n=0)
    )
    assert not difference, (
        f"{difference}\nIf that is meant: 'python tests/public_api.py' records it; say in "
        f"CHANGELOG.md what plugins have to change."
    )
