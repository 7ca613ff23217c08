"""Training of one network from scratch with timm's parts, from images to weights on the disk.

What can be set is in ``recipes``; what becomes of the weights is in ``models`` and ``export``.
"""

from balenas_timm.training._events import Event as Event, TrainingStarted as TrainingStarted
from balenas_timm.training._result import TrainingResult as TrainingResult
from balenas_timm.training._training import Training as Training, train as train
