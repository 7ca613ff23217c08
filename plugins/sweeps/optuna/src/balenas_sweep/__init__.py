"""Many searches as one study of Optuna: a grid, a list, or what a sampler proposes.

Every trial is an ordinary run directory; the study says which trials there are and how they went.
"""

from balenas_sweep._dimensions import (
    grid as grid,
    parse_dimensions as parse_dimensions,
    parse_seeds as parse_seeds,
)
from balenas_sweep._objectives import Objective as Objective, parse_objective as parse_objective
from balenas_sweep._run import Sweep as Sweep, TrialInfo as TrialInfo, is_sweep as is_sweep
from balenas_sweep._spec import (
    PRUNERS as PRUNERS,
    SAMPLERS as SAMPLERS,
    SPEC as SPEC,
    Dimension as Dimension,
    Settings as Settings,
    SweepSpec as SweepSpec,
    read_spec as read_spec,
)
from balenas_sweep._trial import forget_stop as forget_stop, request_stop as request_stop
