"""Cuts the parameters of a bucket into pieces that the PyTorch path works on one by one.

On a CPU a piece and its scratch stay in the cache, which is worth a factor of three for a
network; small parameters share a piece, so that a group of logits costs one call an operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from balenas_optimizer_ngvi._layout import is_dense

CPU_PIECE = 1 << 16
"""Elements of a piece on the CPU: nine arrays of it fit a second-level cache."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one parameter: elements ``first`` to ``stop`` of parameter ``index``."""

    index: int
    first: int
    stop: int
    is_whole: bool

    def of(self, tensor: Tensor) -> Tensor:
        """Return this part of a tensor that is laid out like ``linear(parameter)``."""
        return tensor if self.is_whole else tensor.view(-1)[self.first : self.stop]


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts that lie side by side in flat state, elements ``start`` to ``stop`` of it.

    ``parameters``, ``means`` and ``buffers`` are the same parts of the parameters, of the
    flat means and of the scratch ``buffer``. ``direct`` is the memory of the parameter where
    one part is all there is, so that nothing needs to be gathered.
    """

    start: int
    stop: int
    parts: tuple[Part, ...]
    parameters: list[Tensor]
    means: list[Tensor]
    buffers: list[Tensor]
    direct: Tensor | None
    mean: Tensor
    buffer: Tensor
    momentum: Tensor
    hess: Tensor
    scratch: tuple[Tensor, Tensor]
    product: Tensor
    noise: Tensor | None


def cut(
    parameters: Sequence[Tensor],
    offsets: Sequence[int],
    indices: Sequence[int],
    limit: int,
) -> Iterator[tuple[Part, ...]]:
    """Yield runs of parts of at most ``limit`` elements, each without gaps in flat state."""
    run: list[Part] = []
    room, end = limit, -1
    for index in indices:
        parameter, first = parameters[index], 0
        size = parameter.numel()
        while first < size:
            if run and (room < min(size, limit) or offsets[index] + first != end):
                yield tuple(run)
                run, room = [], limit
            stop = min(size, first + room) if is_dense(parameter) else size
            run.append(Part(index, first, stop, is_whole=stop - first == size))
            room -= stop - first
            # Offsets are rounded up to whole vectors; the padding belongs to the run.
            end = offsets[index] + (stop if stop < size else -(-size // 4) * 4)
            first = stop
    if run:
        yield tuple(run)


def build_piece(
    parts: tuple[Part, ...],
    linears: Sequence[Tensor],
    offsets: Sequence[int],
    flats: tuple[Tensor, Tensor, Tensor, Tensor | None],
    work: Sequence[Tensor],
) -> Piece:
    """Make the views of a run.

    Args:
        parts: The run.
        linears: Aliases of all parameters, from ``linear``.
        offsets: Where each parameter starts in flat state.
        flats: Flat mean, momentum, curvature and, where it is kept, noise.
        work: Four flat tensors to overwrite, as long as the longest run.
    """
    start = offsets[parts[0].index] + parts[0].first
    stop = offsets[parts[-1].index] + parts[-1].stop
    mean, momentum, hess = (flat[start:stop] for flat in flats[:3])
    buffer, one, two, product = (flat[: stop - start] for flat in work)
    targets = [part.of(linears[part.index]) for part in parts]

    def views(flat: Tensor) -> list[Tensor]:
        found = []
        for part, target in zip(parts, targets, strict=True):
            at = offsets[part.index] + part.first - start
            found.append(flat[at : at + target.numel()].view(target.shape))
        return found

    is_direct = len(parts) == 1 and targets[0].is_contiguous()
    return Piece(
        start=start,
        stop=stop,
        parts=parts,
        parameters=targets,
        means=views(mean),
        buffers=views(buffer),
        direct=targets[0].view(-1) if is_direct else None,
        mean=mean,
        buffer=buffer,
        momentum=momentum,
        hess=hess,
        scratch=(one, two),
        product=product,
        noise=None if flats[3] is None else flats[3][start:stop],
    )
