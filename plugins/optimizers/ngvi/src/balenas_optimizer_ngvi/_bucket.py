"""Parameters of one group with one device and dtype, and their flat state."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from balenas_optimizer_ngvi import _formulas, _native
from balenas_optimizer_ngvi._formulas import StepOptions
from balenas_optimizer_ngvi._layout import is_dense, linear, linear_like, shaped_like
from balenas_optimizer_ngvi._noise import NoiseSource, fill
from balenas_optimizer_ngvi._pieces import CPU_PIECE, Piece, build_piece, cut

_RULES = {"vadam": 0, "ivon": 1, "vogn": 2}
_ALIGNMENT = 4  # elements; flat state of a parameter starts at a multiple of 16 bytes


class Bucket:
    """Flat state of some parameters, and the work on it by native code or by PyTorch.

    ``mean`` is only meaningful between ``sample`` and ``restore``: at all other times the
    parameters themselves are the means. ``noise`` is kept where the update or an antithetic
    partner needs it; ``gradient`` and ``curvature`` where means over samples are built.

    Args:
        parameters: Parameters of one device and dtype.
        state: The optimizer's state; tensors found there are taken over, new ones put there.
        variant: Name of the update rule.
        start: First value of the curvature estimate.
        use_native: Whether compiled operators may serve.
        keeps_noise: Whether draws are followed by antithetic partners. (ivon keeps it anyhow.)
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        state: MutableMapping[Tensor, dict[str, Any]],
        *,
        variant: str,
        start: float,
        use_native: bool,
        keeps_noise: bool,
    ) -> None:
        self.parameters = list(parameters)
        self.variant = variant
        self.offsets: list[int] = []
        self.size = 0
        for parameter in self.parameters:
            self.offsets.append(self.size)
            self.size += -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
        self._like = self.parameters[0].detach()
        self.mean, self.momentum = self._flat(0.0), self._flat(0.0)
        self.hess = self._flat(start)
        self.gradient: Tensor | None = None
        self.curvature: Tensor | None = None
        self._adopt(state)
        # Aliases without history: writing to them needs no `no_grad`.
        self.linear = [linear(p.detach()) for p in self.parameters]
        self.means = self.views(self.mean)
        self._momenta, self._hessians = self.views(self.momentum), self.views(self.hess)
        self._pointers = [p.data_ptr() for p in self.parameters]
        self._seed = 0
        self.is_native = (
            use_native
            and _native.serves(self._like.device, self._like.dtype)
            and all(is_dense(p) for p in self.parameters)
        )
        # Native code draws an antithetic partner from the seed, so only the update needs noise.
        keeps_noise = variant == "ivon" or (keeps_noise and not self.is_native)
        self.noise = self._flat(0.0) if keeps_noise else None
        self._noises = [] if self.noise is None else self.views(self.noise)
        self._work: list[Tensor] = []
        self._pieces: list[Piece] = []

    def _flat(self, value: float) -> Tensor:
        return torch.full((self.size,), value, dtype=self._like.dtype, device=self._like.device)

    def _adopt(self, state: MutableMapping[Tensor, dict[str, Any]]) -> None:
        """Make the optimizer's state views of the flat tensors, keeping its values."""
        self._kept = []
        for parameter, offset in zip(self.parameters, self.offsets, strict=True):
            entry = state[parameter]
            for name, flat in (("momentum", self.momentum), ("hess", self.hess)):
                view = shaped_like(flat, offset, parameter)
                if name in entry:
                    view.copy_(entry[name])
                entry[name] = view
            self._kept.append(entry["hess"])

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return the parts of a flat tensor, each in the shape of ``linear(parameter)``."""
        return [
            flat[offset : offset + p.numel()].view(linear(p).shape)
            for p, offset in zip(self.parameters, self.offsets, strict=True)
        ]

    def holds(
        self, parameters: Sequence[Tensor], state: MutableMapping[Tensor, dict[str, Any]]
    ) -> bool:
        """Return whether these are still the same parameters, memory and state."""
        if len(parameters) != len(self.parameters):
            return False
        for new, old, pointer, hess in zip(
            parameters, self.parameters, self._pointers, self._kept, strict=True
        ):
            if new is not old or new.data_ptr() != pointer or state[new].get("hess") is not hess:
                return False
        return True

    # Sampling

    def sample(
        self, source: NoiseSource, *, ess: float, prior: float, keep: bool, negate: bool
    ) -> None:
        """Write one draw from the posterior into the parameters and keep their means.

        Args:
            source: Where the noise comes from.
            ess: Effective sample size over temperature.
            prior: Precision of the prior.
            keep: Whether the noise is kept for an update or for an antithetic draw.
            negate: Use the kept noise of the draw before, negated.
        """
        if self.is_native:
            seed = self._seed if negate else source.seed()
            if keep:
                self._seed = seed
            noises = self._noises if keep else []
            sign = -1.0 if negate else 1.0
            torch.ops.balenas_ngvi.sample_.default(
                self.linear, self._hessians, self.means, noises, ess, prior, sign, seed
            )
            return
        stream = None if negate else source.stream(self._like.device)
        for piece in self.pieces():
            self._sample_piece(piece, stream, ess, prior, keep=keep)

    def _sample_piece(
        self,
        piece: Piece,
        stream: Generator | None,
        ess: float,
        prior: float,
        *,
        keep: bool,
    ) -> None:
        noise = piece.noise if keep and piece.noise is not None else piece.scratch[0]
        if stream is None:
            noise.neg_()
        else:
            fill(noise, stream)
        if piece.direct is None:
            torch._foreach_copy_(piece.means, piece.parameters)
        else:
            piece.mean.copy_(piece.direct)
        out = piece.buffer if piece.direct is None else piece.direct
        _formulas.sample_(
            out, piece.mean, piece.hess, noise, ess=ess, prior=prior, scratch=piece.scratch[1]
        )
        if piece.direct is None:
            torch._foreach_copy_(piece.parameters, piece.buffers)

    def restore(self) -> None:
        """Write the means back into the parameters."""
        torch._foreach_copy_(self.linear, self.means)

    # Means over samples

    def collect(
        self,
        active: Sequence[int],
        squares: Sequence[Tensor | None],
        *,
        weight: float,
        is_first: bool,
    ) -> None:
        """Add ``weight`` times one sample's gradient and curvature to the means.

        Args:
            active: Indices of the parameters that have a gradient.
            squares: Mean squared per-example gradients of the active parameters (vogn).
            weight: One over the number of samples.
            is_first: Whether the means start with this sample.
        """
        if self.gradient is None or self.curvature is None:
            self.gradient, self.curvature = self._flat(0.0), self._flat(0.0)
        elif is_first:
            self.gradient.zero_()
            self.curvature.zero_()
        if not active:
            return
        gradients = self.gradients(active)
        means, curvatures = self._pick(self.gradient, active), self._pick(self.curvature, active)
        torch._foreach_add_(means, gradients, alpha=weight)
        if self.variant == "ivon":
            noises = [self._noises[i] for i in active]
            torch._foreach_addcmul_(curvatures, noises, gradients, value=weight)
        elif self.variant == "vadam":
            torch._foreach_addcmul_(curvatures, gradients, gradients, value=weight)
        else:
            listed = [
                linear_like(square, self.parameters[i])
                for i, square in zip(active, squares, strict=True)
                if square is not None
            ]
            torch._foreach_add_(curvatures, listed, alpha=weight)

    def publish(self, active: Sequence[int]) -> None:
        """Put the mean gradients into ``.grad``, where hooks, clipping and scalers look."""
        assert self.gradient is not None
        for index in active:
            parameter = self.parameters[index]
            parameter.grad = shaped_like(self.gradient, self.offsets[index], parameter).clone()

    def follow_rescaling(self, active: Sequence[int]) -> None:
        """Rescale the curvature as ``.grad`` was rescaled since ``publish``.

        Gradient clipping and unscaling multiply all gradients by one number r; the mean of
        eps * g then goes with r, the mean of squares with r^2.
        """
        assert self.gradient is not None
        assert self.curvature is not None
        if not active:
            return
        old, new = self._pick(self.gradient, active), self.gradients(active)
        norm, dot = _dot(old, old), _dot(old, new)
        ratio = torch.where(norm > 0, dot / norm, torch.ones_like(norm))
        factor = ratio if self.variant == "ivon" else ratio.square()
        self.curvature.mul_(factor.to(self._like.dtype))

    def _pick(self, flat: Tensor, active: Sequence[int]) -> list[Tensor]:
        views = self.views(flat)
        return [views[i] for i in active]

    def gradients(self, active: Sequence[int]) -> list[Tensor]:
        """Return the gradients of parameters, each laid out like ``linear(parameter)``."""
        found = []
        for index in active:
            parameter = self.parameters[index]
            gradient = parameter.grad
            assert gradient is not None
            found.append(linear_like(gradient, parameter))
        return found

    def all_finite(self, gradients: list[Tensor]) -> bool:
        """Return whether no gradient has a NaN or an infinity (waits for a GPU)."""
        if self.is_native and self._like.device.type == "cpu":
            return bool(torch.ops.balenas_ngvi.all_finite.default(gradients))
        # A finite sum proves finite terms and is cheap; an overflow needs the second look.
        if self._like.device.type == "cpu" and all(
            math.isfinite(g.sum().item()) for g in gradients
        ):
            return True
        norms = torch._foreach_norm(gradients, math.inf)
        return bool(torch.stack(norms).isfinite().all())

    # The update

    def update(
        self, active: Sequence[int], gradients: list[Tensor], options: StepOptions, *, given: bool
    ) -> None:
        """Make one step of the active parameters.

        Args:
            active: Indices of the parameters to move.
            gradients: Their gradients, laid out like ``linear(parameter)``.
            options: Numbers of the update.
            given: Whether ``curvature`` has the curvature; else it comes from gradient and
                noise.
        """
        if self.is_native:
            self._update_native(active, gradients, options, given=given)
        else:
            for piece in self.pieces(active):
                self._update_piece(piece, active, gradients, options, given=given)

    def _update_native(
        self, active: Sequence[int], gradients: list[Tensor], o: StepOptions, *, given: bool
    ) -> None:
        extra: list[Tensor] = []
        if given:
            assert self.curvature is not None
            extra = self.views(self.curvature)
        elif self.variant == "ivon":
            extra = self._noises
        lists = [self.linear, self._momenta, self._hessians, extra]
        if len(active) < len(self.parameters):
            lists = [[views[i] for i in active] if views else [] for views in lists]
        torch.ops.balenas_ngvi.step_.default(
            lists[0],
            lists[1],
            lists[2],
            gradients,
            lists[3],
            _RULES[self.variant],
            not given,
            o.lr,
            o.beta1,
            o.beta2,
            o.ess,
            o.prior,
            o.radius,
            o.step,
            o.debias,
        )

    def _update_piece(
        self,
        piece: Piece,
        active: Sequence[int],
        gradients: list[Tensor],
        options: StepOptions,
        *,
        given: bool,
    ) -> None:
        if len(active) < len(self.parameters):
            place = dict(zip(active, gradients, strict=True))
            parts = [part.of(place[part.index]) for part in piece.parts]
        else:
            parts = [part.of(gradients[part.index]) for part in piece.parts]
        if piece.direct is None:
            torch._foreach_copy_(piece.means, piece.parameters)
            torch._foreach_copy_(piece.buffers, parts)
            mean, gradient = piece.mean, piece.buffer
        else:
            mean, gradient = piece.direct, parts[0].reshape(-1)
        curvature = None
        if given:
            assert self.curvature is not None
            curvature = self.curvature[piece.start : piece.stop]
        elif self.variant == "ivon":
            assert piece.noise is not None
            curvature = torch.mul(piece.noise, gradient, out=piece.product)
        state = (mean, piece.momentum, piece.hess, gradient)
        if self.variant == "vadam":
            _formulas.vadam_(*state, curvature, options, piece.scratch)
        else:
            assert curvature is not None
            rule = _formulas.ivon_ if self.variant == "ivon" else _formulas.vogn_
            rule(*state, curvature, options, piece.scratch)
        if piece.direct is None:
            torch._foreach_copy_(piece.parameters, piece.means)

    def pieces(self, active: Sequence[int] | None = None) -> list[Piece]:
        """Return the pieces of all parameters (kept), or of some."""
        if active is None or len(active) == len(self.parameters):
            if not self._pieces:
                self._pieces = self._build_pieces(range(len(self.parameters)))
            return self._pieces
        return self._build_pieces(active)

    def _build_pieces(self, active: Sequence[int]) -> list[Piece]:
        limit = CPU_PIECE if self._like.device.type == "cpu" else max(self.size, 1)
        runs = list(cut(self.parameters, self.offsets, active, limit))
        if not self._work:
            largest = max((p.numel() for p in self.parameters if not is_dense(p)), default=0)
            size = min(self.size, max(limit, largest) + _ALIGNMENT * len(self.parameters))
            self._work = [self._like.new_zeros(size) for _ in range(4)]
        flats = (self.mean, self.momentum, self.hess, self.noise)
        return [build_piece(run, self.linear, self.offsets, flats, self._work) for run in runs]


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Return the inner product of two lists in double precision, without waiting for a GPU."""
    products = [(a.double() * b).sum() for a, b in zip(left, right, strict=True)]
    return torch.stack(products).sum()
