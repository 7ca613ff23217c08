"""The distributions over logits that come with the core.

What drives them is an optimizer, a plugin; what they must do stands in ``interfaces``.
"""

from balenas_core.distributions._dirichlet import DirichletDistribution as DirichletDistribution
from balenas_core.distributions._gaussian import GaussianDistribution as GaussianDistribution
from balenas_core.distributions._gumbel_softmax import (
    GumbelSoftmaxDistribution as GumbelSoftmaxDistribution,
)
from balenas_core.distributions._point import PointDistribution as PointDistribution
