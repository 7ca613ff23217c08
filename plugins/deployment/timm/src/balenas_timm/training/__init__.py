"""Training of found networks from scratch, with timm's parts."""

from balenas_timm.training._events import Event as Event, TrainingStarted as TrainingStarted
from balenas_timm.training._job import TRAINING as TRAINING, TrainingJob as TrainingJob
from balenas_timm.training._presets import PRESETS as PRESETS
from balenas_timm.training._processes import is_first_process as is_first_process
from balenas_timm.training._recipe import TrainingRecipe as TrainingRecipe
from balenas_timm.training._result import TrainingResult as TrainingResult
from balenas_timm.training._source import (
    holds_training as holds_training,
    training_job as training_job,
)
from balenas_timm.training._training import Training as Training, train as train
