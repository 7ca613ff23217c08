"""Weights as files that say themselves of which network they are.

A network is described by its blueprint. How one is trained, or made a model of timm, is not
known here.
"""

from balenas_timm.weights._blueprint import (
    Blueprint as Blueprint,
    Normalized as Normalized,
    first_problem as first_problem,
    known_of as known_of,
)
from balenas_timm.weights._file import (
    WEIGHTS as WEIGHTS,
    load_into as load_into,
    load_network as load_network,
    read_blueprint as read_blueprint,
    read_weights as read_weights,
    save_weights as save_weights,
)
