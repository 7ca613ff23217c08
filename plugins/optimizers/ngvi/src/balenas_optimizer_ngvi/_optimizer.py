"""The NGVI optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Generator, Tensor
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from balenas_optimizer_ngvi import _formulas, _sync
from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._layout import shaped_like
from balenas_optimizer_ngvi._noise import NoiseSource
from balenas_optimizer_ngvi._options import (
    DEFAULT_BETAS,
    check_group,
    check_samples,
    check_variant,
    effective_size,
    initial_curvature,
    step_options,
)
from balenas_optimizer_ngvi._per_sample import per_sample_moments
from balenas_optimizer_ngvi._saved import check_saved, without_schedules
from balenas_optimizer_ngvi.errors import (
    NonFiniteGradientError,
    OptionError,
    SequenceError,
)
from balenas_optimizer_ngvi.schedules import Schedule

Parameters: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

BACKENDS = ("auto", "native", "torch")


class Posterior(NamedTuple):
    """Mean and standard deviation of a parameter, each of its shape."""

    mean: Tensor
    sigma: Tensor


class NGVI(Optimizer):
    """Natural-gradient variational inference with a diagonal Gaussian over any parameters.

    Learns q = N(mean, sigma^2) that minimises

        ess * E_q[ loss ] + temperature * KL( q || N(0, 1 / prior_precision) ),

    with sigma^2 = 1 / (N * hess + prior_precision), N = ess / temperature and ``loss`` a mean
    over the data. Each step needs the gradients of ``mc_samples`` draws from q, taken inside
    of ``sampled_params``. Outside of it the parameters hold the mean, so evaluation,
    checkpoints and averages work as with any optimizer.

    Variants: ``"vadam"`` (squared gradients and a square root, the rule of BaLeNAS),
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
        if backend not in BACKENDS:
            raise OptionError(f"`backend` must be one of {', '.join(BACKENDS)}; got {backend!r}")
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
        self._buckets: list[list[Bucket]] = []
        self._is_sampled = False
        self.discard_samples()

    def discard_samples(self) -> None:
        """Forget the samples taken since the last step, as after a batch to be skipped."""
        self._count = 0
        self._touched: dict[Tensor, None] = {}
        self._squares: dict[Tensor, Tensor] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with options of its own; it starts at step 0.

        Raises:
            OptionError: An option is out of range, or a parameter has a wrong kind.
        """
        self._require_mean("add_param_group()")
        group = dict(param_group)
        listed = group["params"]
        if not isinstance(listed, Tensor | set):
            group["params"] = listed = list(listed)
            if not listed:
                raise OptionError("no parameters in a group; got an empty list")
        merged = {**self.defaults, **group}
        if "hess_init" in group or "initial_sigma" in group:
            merged |= {k: group.get(k) for k in ("hess_init", "initial_sigma")}
        check_group(merged, self.variant)
        group["curvature_start"] = initial_curvature(merged, self.variant)
        group["betas"] = tuple(merged["betas"])
        group["hess_init"], group["initial_sigma"] = merged["hess_init"], merged["initial_sigma"]
        group["step"] = 0
        for item in [listed] if isinstance(listed, Tensor) else listed:
            _check_parameter(item[1] if isinstance(item, tuple) else item)
        super().add_param_group(group)
        self._buckets = []

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
        if train and self._count >= self.mc_samples:
            raise SequenceError(
                f"step() averages over mc_samples={self.mc_samples} draws, which were taken "
                "already. Call step(), or discard_samples() to skip them"
            )
        self._sample(train)
        try:
            yield self
            if train and self._gives_curvature:
                with torch.no_grad():
                    self._collect()
            self._count += train
        finally:
            self._restore()

    def _sample(self, train: bool) -> None:
        self._noise.rank = _sync.rank(self.process_group) if self.sync_samples else 0
        negate = train and self.antithetic and self._count % 2 == 1
        keep = train and (self.variant == "ivon" or self.antithetic)
        groups = self._current_buckets()
        self._is_sampled = True
        for group, buckets in zip(self.param_groups, groups, strict=True):
            ess, prior = effective_size(group, group["step"]), group["prior_precision"]
            for bucket in buckets:
                bucket.sample(self._noise, ess=ess, prior=prior, keep=keep, negate=negate)

    def _restore(self) -> None:
        for buckets in self._buckets:
            for bucket in buckets:
                bucket.restore()
        self._is_sampled = False

    def _require_mean(self, what: str) -> None:
        if self._is_sampled:
            raise SequenceError(f"{what} does not work inside of sampled_params(); leave it first")

    def _current_buckets(self) -> list[list[Bucket]]:
        """Return the buckets of each group, made anew where parameters or state were replaced."""
        if len(self._buckets) != len(self.param_groups):
            self._buckets = [[] for _ in self.param_groups]
        for index, group in enumerate(self.param_groups):
            parameters = [p for p in group["params"] if p.requires_grad]
            kept = self._buckets[index]
            if len(kept) == 1 and kept[0].holds(parameters, self.state):
                continue
            if len(kept) < 2 or not all(
                bucket.holds(listed, self.state)
                for bucket, listed in zip(kept, _by_kind(parameters), strict=False)
            ):
                self._buckets[index] = self._make_buckets(group, parameters)
        return self._buckets

    def _make_buckets(self, group: dict[str, Any], parameters: list[Tensor]) -> list[Bucket]:
        buckets = [
            Bucket(
                listed,
                self.state,
                variant=self.variant,
                start=group["curvature_start"],
                use_native=self.backend != "torch",
                keeps_noise=self.antithetic,
            )
            for listed in _by_kind(parameters)
        ]
        if self.backend == "native" and not all(bucket.is_native for bucket in buckets):
            raise OptionError(
                "`backend='native'`, but no native operators serve these parameters. See "
                "native_status(), or type backend='auto'"
            )
        return buckets

    @property
    def _gives_curvature(self) -> bool:
        """Whether means over samples are built, instead of leaving all to ``step``."""
        return self.mc_samples > 1 or self.sync_samples or self.variant == "vogn"

    def _collect(self) -> None:
        """Take in the gradients of the draw that the parameters hold.

        ``.grad`` is None after it, and holds the mean gradient after the last sample. (With
        one sample gradients simply stay in ``.grad``, and this is not called.) Either way
        clipping, unscaling and hooks see an ordinary gradient before ``step``.
        """
        is_last = self._count + 1 == self.mc_samples
        for bucket in self._each_bucket():
            active = _with_gradient(bucket)
            for index in active:
                _check_gradient(_gradient_of(bucket.parameters[index]))
            bucket.collect(
                active,
                [self._square_of(bucket.parameters[i]) for i in active],
                weight=1.0 / self.mc_samples,
                is_first=self._count == 0,
            )
            self._touched |= {bucket.parameters[i]: None for i in active}
            for index in active:
                bucket.parameters[index].grad = None
            if is_last:
                touched = [i for i, p in enumerate(bucket.parameters) if p in self._touched]
                bucket.publish(touched)
        self._squares = {}

    def _square_of(self, parameter: Tensor) -> Tensor | None:
        if self.variant == "vogn" and parameter not in self._squares:
            raise SequenceError(
                "variant 'vogn' needs the gradient of every example. Call "
                "optimizer.backward(losses) with a vector of losses instead of losses.mean()"
                ".backward()"
            )
        return self._squares.get(parameter)

    def _each_bucket(self) -> Iterator[Bucket]:
        for buckets in self._buckets:
            yield from buckets

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
                self._squares[parameter] = square

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
        if self._count != self.mc_samples:
            raise SequenceError(
                f"step() needs mc_samples={self.mc_samples} sampled gradients; got {self._count}. "
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
        scale = getattr(self, "grad_scale", None)
        work: list[tuple[dict[str, Any], list[tuple[Bucket, list[int], list[Tensor]]]]] = []
        for group, buckets in zip(self.param_groups, self._buckets, strict=True):
            prepared = [(bucket, *self._prepare(bucket, scale)) for bucket in buckets]
            work.append((group, [item for item in prepared if item[1]]))
        # Nothing is written before all gradients are known to be finite.
        for group, items in work:
            for bucket, active, gradients in items:
                if not bucket.all_finite(gradients):
                    raise self._refusal(group, bucket, active, gradients)
        options = [step_options(group, self.variant) if items else None for group, items in work]
        for (group, items), option in zip(work, options, strict=True):
            if option is None:
                continue
            for bucket, active, gradients in items:
                bucket.update(active, gradients, option, given=self._gives_curvature)
            group["step"] += 1

    def _prepare(self, bucket: Bucket, scale: Tensor | None) -> tuple[list[int], list[Tensor]]:
        """Return the parameters to move and their gradients, unscaled and synchronised."""
        active = _with_gradient(bucket)
        if self._gives_curvature:
            active = [i for i in active if bucket.parameters[i] in self._touched]
        for index in active:
            _check_gradient(_gradient_of(bucket.parameters[index]))
        gradients = bucket.gradients(active)
        if scale is not None and active:
            raw = [_gradient_of(bucket.parameters[i]) for i in active]
            torch._foreach_div_(raw, scale.to(raw[0].device))
            gradients = bucket.gradients(active)
        if self._gives_curvature:
            bucket.follow_rescaling(active)
        if self.sync_samples:
            active = _sync.average_(bucket, active, self.process_group)
            gradients = bucket.gradients(active)
        return active, gradients

    def _refusal(
        self, group: dict[str, Any], bucket: Bucket, active: list[int], gradients: list[Tensor]
    ) -> NonFiniteGradientError:
        counts = [int(gradient.isfinite().logical_not().sum()) for gradient in gradients]
        wrong, index = next((n, i) for n, i in zip(counts, active, strict=True) if n)
        parameter = bucket.parameters[index]
        return NonFiniteGradientError(
            f"the gradient of {self._name(group, parameter)} has {wrong} NaN or infinite values of "
            f"{parameter.numel()}; the step was refused and nothing changed. Lower the learning "
            "rate or the temperature, or check the loss"
        )

    def _name(self, group: dict[str, Any], parameter: Tensor) -> str:
        position = next(i for i, p in enumerate(group["params"]) if p is parameter)
        if "param_names" in group:
            return f"parameter {group['param_names'][position]!r}"
        number = next(i for i, g in enumerate(self.param_groups) if g is group)
        return f"parameter {position} of group {number}, of shape {tuple(parameter.shape)},"

    # The posterior

    @torch.no_grad()
    def posterior(self, parameter: Tensor) -> Posterior:
        """Return copies of mean and standard deviation of a parameter's posterior.

        Raises:
            OptionError: The optimizer does not have this parameter, or it is frozen.
        """
        for group, buckets in zip(self.param_groups, self._posterior_buckets(), strict=True):
            for bucket in buckets:
                for index, own in enumerate(bucket.parameters):
                    if own is parameter:
                        return self._posterior(group, bucket, index)
        raise OptionError(
            f"not a trained parameter of this optimizer; got {parameter.shape=}. Pass one of "
            "those it was made with"
        )

    def _posterior(self, group: dict[str, Any], bucket: Bucket, index: int) -> Posterior:
        parameter = bucket.parameters[index]
        if not self._is_sampled:
            mean = parameter.detach().clone()
        else:
            mean = shaped_like(bucket.mean, bucket.offsets[index], parameter).clone()
        hess = self.state[parameter]["hess"]
        ess = effective_size(group, group["step"])
        return Posterior(mean, _formulas.sigma(hess, ess=ess, prior=group["prior_precision"]))

    def _posterior_buckets(self) -> list[list[Bucket]]:
        return self._buckets if self._is_sampled else self._current_buckets()

    @torch.no_grad()
    def entropy(self) -> Tensor:
        """Return the differential entropy of the posterior, 1/2 sum ln(2 pi e sigma^2), in nats."""
        return self._sum_over_parameters(
            lambda mean, hess, ess, prior: _formulas.entropy(hess, ess=ess, prior=prior)
        )

    @torch.no_grad()
    def kl(self) -> Tensor:
        """Return KL(posterior || prior) in nats, a scalar."""
        return self._sum_over_parameters(
            lambda mean, hess, ess, prior: _formulas.kl(mean, hess, ess=ess, prior=prior)
        )

    def _sum_over_parameters(
        self, term: Callable[[Tensor, Tensor, float, float], Tensor]
    ) -> Tensor:
        terms: list[Tensor] = []
        for group, buckets in zip(self.param_groups, self._posterior_buckets(), strict=True):
            ess, prior = effective_size(group, group["step"]), group["prior_precision"]
            for bucket in buckets:
                means = bucket.means if self._is_sampled else bucket.linear
                hessians = bucket.views(bucket.hess)
                terms += [term(m, h, ess, prior) for m, h in zip(means, hessians, strict=True)]
        if not terms:
            return torch.zeros((), dtype=torch.float64)
        # Summed in double: a network has millions of terms of one sign.
        return torch.stack([t.to(terms[0].device, torch.float64) for t in terms]).sum()

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


def _by_kind(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Split parameters by device and dtype, keeping their order."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        kinds.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return list(kinds.values())


def _with_gradient(bucket: Bucket) -> list[int]:
    return [i for i, p in enumerate(bucket.parameters) if p.grad is not None]


def _gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _check_parameter(parameter: object) -> None:
    if isinstance(parameter, Tensor) and parameter.dtype not in (torch.float32, torch.float64):
        raise OptionError(
            f"parameters must be float32 or float64; got {parameter.dtype} of shape "
            f"{tuple(parameter.shape)}. Keep float32 parameters and use torch.autocast; split a "
            "complex one with torch.view_as_real"
        )


def _check_gradient(gradient: Tensor) -> None:
    if gradient.layout is not torch.strided or gradient.is_complex():
        raise OptionError(
            f"gradients must be dense and real; got {gradient.layout=} and {gradient.dtype=}. "
            "Use sparse=False in the embedding"
        )
