"""How a network is trained. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from balenas_core.plugins.suggest import did_you_mean

_PLAIN_SGD = "momentum"


def _none_for_text(value: Any) -> Any:
    return None if value == "none" else value  # TOML has no null


_NoneForText = BeforeValidator(_none_for_text)


class TrainingRecipe(BaseModel):
    """Training of one network: optimizer, schedule, loss, augmentation and regularisation.

    The names of optimizers, schedules and augmentations are timm's.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    epochs: int = Field(default=20, ge=1, strict=True, description="Passes over the training set.")
    batch_size: int = Field(
        default=64, ge=1, strict=True, description="Images per step, over all processes."
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="Parts into which each batch is cut, one after the other, to save memory.",
    )
    optimizer: str = Field(
        default=_PLAIN_SGD,
        strict=True,
        description="timm's name of the optimizer, such as momentum (SGD), nesterov or adamw.",
    )
    lr: float = Field(default=0.05, gt=0, strict=True, description="Learning rate at the start.")
    momentum: float = Field(
        default=0.9, ge=0, lt=1, strict=True, description="Momentum, where the optimizer has it."
    )
    weight_decay: float = Field(default=3e-4, ge=0, strict=True, description="Weight decay.")
    weight_decay_on: Literal["all", "weights"] = Field(
        default="all",
        description="What decays: every parameter, or all but biases and normalisation.",
    )
    optimizer_options: dict[str, Any] = Field(
        default={}, description="Further options of timm's optimizer, such as {betas: [0.9, 0.95]}."
    )
    schedule: Literal["cosine", "tanh", "step", "multistep", "poly", "constant"] = Field(
        default="cosine", description="How the learning rate falls."
    )
    schedule_per: Literal["epoch", "step"] = Field(
        default="epoch", description="How often the learning rate changes."
    )
    schedule_options: dict[str, Any] = Field(
        default={},
        description="Further options of timm's create_scheduler_v2, such as {decay_epochs: 30}.",
    )
    lr_min: float = Field(
        default=0.0, ge=0, strict=True, description="Learning rate at the end of the schedule."
    )
    warmup_epochs: int = Field(
        default=0, ge=0, strict=True, description="First epochs, in which the learning rate rises."
    )
    warmup_lr: float = Field(
        default=1e-5, ge=0, strict=True, description="Learning rate at the start of the warm-up."
    )
    clip: Annotated[float | None, _NoneForText] = Field(
        default=5.0,
        gt=0,
        strict=True,
        description="Largest norm of the gradient; null, or 'none', for no limit.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, strict=True, description="Share of the target for all classes."
    )
    drop_path: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        strict=True,
        description="Chance of an operation to be left out, for each image; it rises from 0 to "
        "this over the epochs.",
    )
    auxiliary_weight: float = Field(
        default=0.0, ge=0, strict=True, description="Weight of the auxiliary head's loss."
    )
    auto_augment: Annotated[str | None, _NoneForText] = Field(
        default=None,
        strict=True,
        description="timm's policy: original, rand-m9-mstd0.5, augmix-m3-w3 and the like.",
    )
    cutout: int = Field(
        default=0, ge=0, strict=True, description="Side in pixels of the masked square; 0 for none."
    )
    erasing: float = Field(
        default=0.0, ge=0, le=1, strict=True, description="Chance of random erasing."
    )
    erasing_mode: Literal["const", "rand", "pixel"] = Field(
        default="pixel", description="What erased pixels become: the mean, one colour, or noise."
    )
    mixup: float = Field(default=0.0, ge=0, strict=True, description="Alpha of mixup; 0 for none.")
    cutmix: float = Field(
        default=0.0, ge=0, strict=True, description="Alpha of CutMix; 0 for none."
    )
    mixup_prob: float = Field(
        default=1.0, ge=0, le=1, strict=True, description="Chance that images are mixed."
    )
    mixup_switch: float = Field(
        default=0.5, ge=0, le=1, strict=True, description="Chance of CutMix, where both are on."
    )
    mixup_mode: Literal["batch", "pair", "elem"] = Field(
        default="batch", description="What has one strength of mixing in common."
    )
    mixup_off_epoch: int = Field(
        default=0, ge=0, strict=True, description="Epoch from which nothing is mixed; 0 for never."
    )
    ema: Annotated[float | None, _NoneForText] = Field(
        default=None,
        gt=0,
        lt=1,
        strict=True,
        description="Decay of an average of the weights, which is then what is tested and saved.",
    )
    ema_warmup: bool = Field(
        default=False, strict=True, description="Whether the decay rises in the first steps."
    )
    sync_batch_norm: bool = Field(
        default=True,
        strict=True,
        description="Whether several GPUs share the statistics of batch normalisation.",
    )
    holdout: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        strict=True,
        description="Share of the training images that is tested on where there is no test part.",
    )
    test_every: int = Field(
        default=1, ge=1, strict=True, description="Epochs between tests; the last is always tested."
    )
    workers: int = Field(
        default=0, ge=0, le=256, strict=True, description="Processes that load images; 0 for none."
    )
    channels_last: bool = Field(
        default=False, strict=True, description="Whether images lie in memory channel by channel."
    )
    compile: bool = Field(default=False, strict=True, description="Whether to use torch.compile.")

    @field_validator("optimizer")
    @classmethod
    def _is_known(cls, name: str) -> str:
        from timm.optim import list_optimizers

        known = [str(one) for one in list_optimizers()]
        if name not in known:
            raise ValueError(
                f"timm has no optimizer {name!r}.{did_you_mean(name, known)} Common ones: "
                f"{_PLAIN_SGD}, nesterov, adamw, lamb, lion."
            )
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be less than epochs, {self.epochs} (got {self.warmup_epochs})"
            )
        if self.lr_min > self.lr:
            raise ValueError(f"lr_min must be at most lr, {self.lr} (got {self.lr_min})")
        return self

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed."""
        return self.mixup > 0 or self.cutmix > 0
