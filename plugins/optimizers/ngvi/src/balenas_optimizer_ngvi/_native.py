"""Finds the compiled operators and says which back end serves, and why."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStatus:
    """Which back end is active for float32 parameters on each device, and why.

    Args:
        cpu: ``"native"`` or ``"torch"``.
        cpu_reason: Why, in a few words.
        cuda: ``"native"``, ``"torch"`` or ``"none"`` where there is no GPU.
        cuda_reason: Why, in a few words.
    """

    cpu: str
    cpu_reason: str
    cuda: str
    cuda_reason: str


@cache
def _load(name: str) -> str | None:
    """Import a compiled module; None when it serves, else the reason why it does not."""
    try:
        importlib.import_module(f"{__package__}.{name}")
    except ModuleNotFoundError:
        return "not built; reinstall with NGVI_BUILD=cuda or cpu and --no-build-isolation"
    # Another torch, a missing libcudart, an undefined symbol.
    except (ImportError, OSError, RuntimeError) as error:
        return f"built, but does not load: {type(error).__name__}: {error}"
    return None


@cache
def load_operators() -> bool:
    """Register the CPU operators and their fake kernels once; False where there are none."""
    problem = _load("_cpu")
    if problem is not None:
        if not problem.startswith("not built"):
            warnings.warn(f"native NGVI operators: {problem}", RuntimeWarning, stacklevel=3)
        return False
    _register_fakes()
    return True


@cache
def load_cuda_operators() -> bool:
    """Register the CUDA operators once; False where there are none."""
    return load_operators() and _load("_cuda") is None


def _register_fakes() -> None:
    @torch.library.register_fake("balenas_ngvi::sample_")  # type: ignore[untyped-decorator]
    def sample_fake(
        parameter: list[Tensor],
        hess: list[Tensor],
        mean: list[Tensor],
        noise: list[Tensor],
        ess: float,
        prior: float,
        sign: float,
        seed: int,
    ) -> None:
        return None

    @torch.library.register_fake("balenas_ngvi::step_")  # type: ignore[untyped-decorator]
    def step_fake(
        parameter: list[Tensor],
        momentum: list[Tensor],
        hess: list[Tensor],
        gradient: list[Tensor],
        curvature: list[Tensor],
        rule: int,
        from_noise: bool,
        lr: float,
        beta1: float,
        beta2: float,
        ess: float,
        prior: float,
        radius: float,
        step: int,
        debias: bool,
    ) -> None:
        return None

    @torch.library.register_fake("balenas_ngvi::all_finite")  # type: ignore[untyped-decorator]
    def all_finite_fake(gradient: list[Tensor]) -> bool:
        return True


def serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether native operators take tensors of a device and dtype."""
    if dtype is not torch.float32:
        return False
    if device.type == "cpu":
        return load_operators()
    return device.type == "cuda" and load_cuda_operators()


def native_status() -> NativeStatus:
    """Say which back end serves float32 parameters on the CPU and on a GPU, and why."""
    cpu = _load("_cpu")
    cpu_name = "native" if load_operators() else "torch"
    if not torch.cuda.is_available():
        cuda_name, cuda_reason = "none", "torch sees no GPU"
        problem = _load("_cuda")
        cuda_reason += "; operators loaded" if problem is None else f"; operators {problem}"
    elif load_cuda_operators():
        cuda_name, cuda_reason = "native", "operators loaded"
    else:
        cuda_name, cuda_reason = "torch", _load("_cuda") or f"CPU operators: {cpu}"
    return NativeStatus(
        cpu=cpu_name,
        cpu_reason=cpu or "operators loaded",
        cuda=cuda_name,
        cuda_reason=cuda_reason,
    )
