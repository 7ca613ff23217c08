"""Ray, without the copies of other libraries that it puts in front of everybody's."""

import sys

_path = [*sys.path]

import ray as ray  # noqa: E402
from ray.exceptions import RayError as RayError  # noqa: E402

sys.path[:] = [*_path, *(place for place in sys.path if place not in _path)]
