"""What a figure shows, without what differs between versions of what draws it."""

import re

import numpy as np


def same_shapes(one, other):
    """Whether two SVG files draw the same lines and areas, to a point."""
    first, second = map(_shapes, (one, other))
    return len(first) == len(second) and all(
        a.shape == b.shape and np.allclose(a, b, atol=1.0)
        for a, b in zip(first, second, strict=True)
    )


def _shapes(path):
    # Glyphs have a name before they have a form.
    forms = re.findall(r'<path d="([^"]+)"', path.read_text())
    return [np.array(re.findall(r"-?\d+\.?\d*", form), dtype=float) for form in forms]
