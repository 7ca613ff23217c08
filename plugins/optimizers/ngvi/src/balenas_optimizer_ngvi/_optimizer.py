"""The NGVI optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from balenas_optimizer_ngvi import _sync
from balenas_optimizer_ngvi._buckets import Buckets
from balenas_optimizer_ngvi._groups import completed
from balenas_optimizer_ngvi._noise import NoiseSource
from balenas_optimizer_ngvi._options import (
    DEFAULT_BETAS,
    check_backend,
    check_samples,
    check_variant,
)
from balenas_optimizer_ngvi._per_sample import per_sample_moments
from balenas_optimizer_ngvi._posterior import Posterior, Reading
from balenas_optimizer_ngvi._samples import Samples
from balenas_optimizer_ngvi._saved import check_saved, without_schedules
from balenas_optimizer_ngvi._update import update
from balenas_optimizer_ngvi.errors import OptionError, SequenceError
from balenas_optimizer_ngvi.schedules import Schedule

Parameters: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class NGVI(Optimizer):
    """Natural-gradient variational inference with a diagonal Gaussian over any parameters.

    Learns q = N(mean, sigma^2) that minimises

        ess * E_q[ loss ] + temperature * KL( q || N(0, 1 / prior_precision) ),

    with sigma^2 = 1 / (N * hess + prior_precision), N = ess / temperature and ``loss`` a mean
    over the data. Each step needs the gradients of ``mc_samples`` draws from q, taken inside
    of ``sampled_params``. Outside of it the parameters hold the mean, so evaluation,
    checkpoints and averages work as with any optimizer.

    Variants: ``"vadam"`` (squared gradients and a square root, as in BaLeNAS' released code),
    ``"ivon"`` (an unbiased estimate of the Hessian's diagonal; its fixed point is exact for
    quadratic losses), ``"vogn"`` (squared per-example gradients, through ``backward``).

    A parameter without gradient in some of a step's samples has a zero gradient there; one
    without any is left alone. The number of steps, which debiasing uses, is the group's.

    References:
        Khan et al. 2018 (Vadam, VOGN), ICML. Shen et al. 2024 (IVON), ICML.
        Zhang et al. 2022, "BaLeNAS", CVPR. Deviations: the temperature divides ``ess``
        everywhere; VOGN has an optional momentum; ``clip_radius`` works in all variants.

    Example:
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = NGVI(model.parameters(), lr=0.01, ess=1000)
        >>> inputs, targets = torch.randn(8, 3), torch.randn(8, 1)
        >>> with optimizer.sampled_params():
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(inputs), targets)
        ...     loss.backward()
        >>> optimizer.step()
    """

    # GradScaler then hands over `grad_scale` and `found_inf` instead of skipping the step.
    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: Parameters,
        lr: float,
        *,
        ess: float | Schedule,
        variant: str = "vadam",
        betas: tuple[float, float] | None = None,
        temperature: float | Schedule = 1.0,
        prior_precision: float = 1.0,
        initial_sigma: float | None = None,
        hess_init: float | None = None,
        clip_radius: float = math.inf,
        debias: bool = True,
        rescale_lr: bool = True,
        mc_samples: int = 1,
        antithetic: bool = False,
        generator: Generator | None = None,
        sync_samples: bool = False,
        process_group: ProcessGroup | None = None,
        backend: str = "auto",
    ) -> None:
        """Check the options and start at the parameters' values.

        Args:
            params: Parameters, pairs (name, parameter), or groups with options of their own.
            lr: Step size; per group. About 3e-4 for vadam, 0.1 for ivon, 0.1 to 1 for vogn.
            ess: Effective sample size, the number of training examples, or a schedule of it
                over finished steps; per group.
            variant: ``"vadam"``, ``"ivon"`` or ``"vogn"``.
            betas: Decays of momentum and curvature, each in [0, 1); per group. Default
                (0.5, 0.999) for vadam, (0.9, 0.9995) for ivon, (0, 0.999) for vogn.
            temperature: Weight of the KL term, or a schedule of it; per group.
            prior_precision: Precision of the normal prior around zero; per group.
            initial_sigma: First posterior standard deviation, instead of ``hess_init``.
            hess_init: First curvature estimate, positive. Default 1 for ivon; the other
                variants start with sigma 1, or at the prior if that is narrower.
            clip_radius: Largest step of an element before ``lr``; per group.
            debias: Divide averages by 1 - beta^t; per group.
            rescale_lr: Multiply ``lr`` by the first hess + delta (ivon only); per group.
            mc_samples: Draws that a step averages over.
            antithetic: Draw in pairs (noise, -noise).
            generator: Source of the noise, on the CPU. Default: a new one with
                ``torch.initial_seed()``.
            sync_samples: Average gradients and curvatures over the processes of
                ``process_group``, each of which draws its own noise. Use it without gradient
                averaging (``no_sync`` of DDP) and with equal generators.
            process_group: Group of ``sync_samples``; None for all processes.
            backend: ``"auto"``, ``"native"`` (refuse to run without) or ``"torch"``.

        Raises:
            OptionError: An option is out of range, or a parameter has a wrong kind.
        """
        check_variant(variant)
        check_samples(mc_samples)
        check_backend(backend)
        if generator is None:
            generator = Generator().manual_seed(torch.initial_seed())
        if generator.device.type != "cpu":
            raise OptionError(
                f"`generator` must be on the CPU; got one on {generator.device}. Type "
                "generator=torch.Generator()"
            )
        self.variant, self.mc_samples, self.antithetic = variant, mc_samples, antithetic
        self.sync_samples, self.process_group = sync_samples, process_group
        self.backend = backend
        self._noise = NoiseSource(generator)
        self._start_afresh()
        defaults = {
            "lr": lr,
            "ess": ess,
            "betas": DEFAULT_BETAS[variant] if betas is None else tuple(betas),
            "temperature": temperature,
            "prior_precision": prior_precision,
            "initial_sigma": initial_sigma,
            "hess_init": hess_init,
            "clip_radius": clip_radius,
            "debias": debias,
            "rescale_lr": rescale_lr,
        }
        listed: Any = params if isinstance(params, Tensor) else list(params)
        if not isinstance(listed, Tensor) and not listed:
            raise OptionError("no parameters; got an empty list. Pass model.parameters()")
        super().__init__(listed, defaults)

    @property
    def generator(self) -> Generator:
        """The source of all noise."""
        return self._noise.generator

    def _start_afresh(self) -> None:
        """Forget everything that is no state: views, and samples that no step has used."""
        self._buckets = Buckets(
            variant=self.variant, backend=self.backend, keeps_noise=self.antithetic
        )
        self._samples = Samples()

    def discard_samples(self) -> None:
        """Forget the samples taken since the last step, as after a batch to be skipped."""
        self._samples.forget()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with options of its own; it starts at step 0.

        Raises:
            OptionError: An option is out of range, or a parameter has a wrong kind.
        """
        self._require_mean("add_param_group()")
        super().add_param_group(completed(param_group, self.defaults, self.variant))
        self._buckets.forget()

    # Sampling

    @contextmanager
    def sampled_params(self, train: bool = True) -> Iterator[NGVI]:
        """Hold one draw from the posterior in the parameters, and the mean again afterwards.

        The values are exchanged in place. The mean comes back also when the body raises; the
        sample then does not count.

        Args:
            train: Whether the body computes gradients for ``step``. Draws for prediction
                (False) leave gradients and pending samples alone.

        Raises:
            SequenceError: Nested use, or more training draws than ``mc_samples`` in a step.
            OptionError: A gradient is sparse or complex, or ``vogn`` has no squared ones.
        """
        self._require_mean("sampled_params()")
        if train and self._samples.count >= self.mc_samples:
            raise SequenceError(
                f"step() averages over mc_samples={self.mc_samples} draws, which were taken "
                "already. Call step(), or discard_samples() to skip them"
            )
        self._sample(train)
        try:
            yield self
            if train and self._gives_curvature:
                with torch.no_grad():
                    self._samples.collect(self._buckets, of=self.mc_samples)
            self._samples.count += train
        finally:
            self._buckets.restore()

    def _sample(self, train: bool) -> None:
        self._noise.rank = _sync.rank(self.process_group) if self.sync_samples else 0
        negate = train and self.antithetic and self._samples.count % 2 == 1
        keep = train and (self.variant == "ivon" or self.antithetic)
        self._buckets.sample(self.param_groups, self.state, self._noise, keep=keep, negate=negate)

    def _require_mean(self, what: str) -> None:
        if self._buckets.is_sampled:
            raise SequenceError(f"{what} does not work inside of sampled_params(); leave it first")

    @property
    def _gives_curvature(self) -> bool:
        """Whether means over samples are built, instead of leaving all to ``step``."""
        return self.mc_samples > 1 or self.sync_samples or self.variant == "vogn"

    def backward(self, losses: Tensor, *, chunk_size: int = 64) -> None:
        """Add the mean gradient of per-example losses to ``.grad``.

        For ``vogn`` it also keeps the mean squared per-example gradients; for the other
        variants it is ``losses.mean().backward()``.

        Args:
            losses: `B`-dim tensor of losses, one for each example.
            chunk_size: Examples differentiated at once (vogn).

        Raises:
            OptionError: ``losses`` is not a vector (vogn).
        """
        if self.variant != "vogn":
            losses.mean().backward()
            return
        parameters = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        means, squares = per_sample_moments(losses, parameters, chunk_size=chunk_size)
        for parameter, mean, square in zip(parameters, means, squares, strict=True):
            if mean is not None and square is not None:
                parameter.grad = mean if parameter.grad is None else parameter.grad + mean
                self._samples.keep_square(parameter, square)

    # The step

    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Any:
        """Update the posterior from the samples taken since the last step.

        Args:
            closure: Clears the gradients, computes the loss and its gradients, and returns
                the loss; called once for each of the ``mc_samples`` draws. One that returns
                a vector of per-example losses leaves the backward pass to the optimizer.

        Returns:
            The mean of the closure's losses, or None.

        Raises:
            SequenceError: Fewer samples than ``mc_samples``.
            NonFiniteGradientError: A gradient has NaN or infinity; the parameters, the state
                and the step counters are as before, the samples are discarded.
        """
        self._require_mean("step()")
        loss = None if closure is None else self._draw(closure)
        count = self._samples.count
        if count != self.mc_samples:
            raise SequenceError(
                f"step() needs mc_samples={self.mc_samples} sampled gradients; got {count}. "
                "Compute them inside of `with optimizer.sampled_params():`"
            )
        try:
            with torch.no_grad():
                if not self._found_infinity():
                    self._update()
        finally:
            self.discard_samples()
        return loss

    def _draw(self, closure: Callable[[], Tensor | float]) -> Any:
        total: Any = None
        for _ in range(self.mc_samples):
            with torch.enable_grad(), self.sampled_params():
                loss = closure()
                if isinstance(loss, Tensor):
                    if loss.dim() > 0:
                        self.backward(loss)
                    loss = loss.detach().mean()
            total = loss if total is None else total + loss
        return total / self.mc_samples

    def _found_infinity(self) -> bool:
        """Return what a gradient scaler found in this process or, when synchronised, in any."""
        found = getattr(self, "found_inf", None)
        if found is None:
            return False
        if self.sync_samples:
            found = _sync.largest(found, self.process_group)
        return bool(found.item())

    def _update(self) -> None:
        update(
            self.param_groups,
            self._buckets.by_group(),
            self.variant,
            samples=self._samples if self._gives_curvature else None,
            scale=getattr(self, "grad_scale", None),
            is_synchronised=self.sync_samples,
            process_group=self.process_group,
        )

    # The posterior

    @torch.no_grad()
    def posterior(self, parameter: Tensor) -> Posterior:
        """Return copies of mean and standard deviation of a parameter's posterior.

        Raises:
            OptionError: The optimizer does not have this parameter, or it is frozen.
        """
        return self._read().of(parameter)

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """Return the differential entropy of the posterior, 1/2 sum ln(2 pi e sigma^2), in nats."""
        return self._read().entropy()

    @torch.no_grad()
    def kl(self) -> Tensor:
        """Return KL(posterior || prior) in nats, a scalar."""
        return self._read().kl()

    def _read(self) -> Reading:
        return Reading(self.param_groups, self._buckets, self.state)

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state: tensors and plain data, loadable with ``weights_only=True``.

        Schedules are configuration and not saved; a loading optimizer keeps its own.
        """
        saved = super().state_dict()
        saved["param_groups"] = [without_schedules(group) for group in saved["param_groups"]]
        saved["ngvi"] = {"variant": self.variant, "generator": self.generator.get_state()}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Raises:
            StateError: The state has other parameters or another variant; nothing was changed.
        """
        self._require_mean("load_state_dict()")
        check_saved(state_dict, self.param_groups, self.variant)
        schedules = [{k: g[k] for k in ("ess", "temperature")} for g in self.param_groups]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "ngvi"})
        for group, own in zip(self.param_groups, schedules, strict=True):
            group.update({k: v for k, v in own.items() if group[k] is None})
            group["betas"] = tuple(group["betas"])
        self.generator.set_state(state_dict["ngvi"]["generator"].cpu())
        self._start_afresh()

    _PLAIN = ("variant", "mc_samples", "antithetic", "sync_samples", "backend")

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling and deep copies need; pending samples are left out."""
        self._require_mean("copying")
        plain = {name: getattr(self, name) for name in self._PLAIN}
        noise = (self.generator.get_state(), self.process_group)
        return {**super().__getstate__(), "plain": plain, "noise": noise}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what ``__getstate__`` or the base class's loading gives."""
        state = dict(state)
        if "plain" in state:
            self.__dict__.update(state.pop("plain"))
            generator_state, self.process_group = state.pop("noise")
            self._noise = NoiseSource(Generator().set_state(generator_state))
        super().__setstate__(state)
        self._start_afresh()
