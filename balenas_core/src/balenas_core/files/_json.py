"""Values as strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Return ``value`` with every non-finite float replaced by None, for strict JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def json_line(value: Mapping[str, Any]) -> bytes:
    """Return a value as one line of JSON; non-finite numbers become null."""
    return (json.dumps(finite(value), ensure_ascii=False) + "\n").encode()
