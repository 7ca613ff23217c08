"""Errors of the NGVI optimizer, by what the caller can do about them."""

from __future__ import annotations

from balenas_core.errors import BalenasError, DivergenceError, UsageError


class NGVIError(BalenasError):
    """Base class of the errors of this distribution."""


class OptionError(NGVIError, UsageError, ValueError):
    """An option, a parameter or a kind of gradient that the optimizer cannot work with."""


class StateError(NGVIError, UsageError, ValueError):
    """A state that belongs to other parameters or to another variant."""


class SequenceError(NGVIError, UsageError, RuntimeError):
    """Calls in an order that leaves the optimizer without the samples it needs."""


class NonFiniteGradientError(NGVIError, DivergenceError, ValueError):
    """A gradient with NaN or infinity; the step was refused and nothing was changed."""
