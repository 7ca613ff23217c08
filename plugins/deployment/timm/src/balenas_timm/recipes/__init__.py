"""What is to be trained, and how: the settings of one training, and where they come from.

Nothing is computed here; ``training`` carries it out.
"""

from balenas_timm.recipes._job import TRAINING as TRAINING, TrainingJob as TrainingJob
from balenas_timm.recipes._recipe import TrainingRecipe as TrainingRecipe
from balenas_timm.recipes._source import (
    holds_training as holds_training,
    training_job as training_job,
)
