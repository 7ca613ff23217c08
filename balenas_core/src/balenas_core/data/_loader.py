"""Batches whose order and augmentation depend on seed, epoch and image alone."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self, Union

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from balenas_core.data._images import ImagePart
from balenas_core.data._signals import born_deaf, end_with_parent_alone
from balenas_core.errors import BalenasError, DataError
from balenas_core.interfaces.proxy import Batch
from balenas_core.random import derive_seed, generator

_Key = tuple[int, int]
"""(epoch, position in the part)."""

_Read = Union[tuple[Tensor, Tensor], "_Raw", DataError]

_NO_MORE_PROCESSES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class BatchLoader:
    """Batches of one part of a dataset.

    The order of the images is a function of (seed, epoch), and what a random transform does to
    an image is one of (seed, epoch, index of the image in its source). So batches depend
    neither on the number of workers nor on what was loaded before: a run that is resumed in
    the middle of an epoch gets exactly the remaining ones. Torch's global generator is seeded
    around each image and restored after it; transforms must draw from no other.

    One iteration is open at a time: a new one ends the one before. Worker processes start with
    the first iteration and live until ``close``, or until the loader is garbage.

    Args:
        part: The images.
        batch_size: Images per batch.
        seed: Of the order and the transforms.
        workers: Processes that load images; 0 loads in this process, which is faster for
            images in memory.
        shuffle: Whether every epoch has an order of its own; otherwise the part's order.
        drop_last: Whether to leave out the last batch of an epoch if it is smaller than the
            others (in a shuffled epoch, other images each time).
        shard: (number of this process, number of processes) that share every batch; each
            process has its own images of it, and the union is the batch of one process. A
            process that has none of a last, small batch has one batch less.
        shards: What is shared out: the ``images`` of every batch, or whole ``batches``, of which
            each process then has some; ``steps_per_epoch`` counts those of all processes.
        transform_on: Device on which this process transforms the images, which then travel
            there as bytes; None to transform them where they are loaded. Transforms draw from
            the CPU's generator all the same, so that they do the same to an image.
        pin: Whether batches lie in memory from which a GPU can fetch them by itself.

    Raises:
        DataError: The part has no images, or fewer than a batch with ``drop_last``.
        ValueError: ``batch_size`` or ``workers`` is out of range.

    Example:
        >>> from balenas_core.data import DigitsOptions, digits, split
        >>> parts = split(digits.load_implementation()(DigitsOptions()), 0.5, seed=0)
        >>> loader = BatchLoader(parts.train, batch_size=64, seed=0)
        >>> next(loader.iterate(epoch=0)).images.shape
        torch.Size([64, 1, 8, 8])
    """

    def __init__(
        self,
        part: ImagePart,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        shard: tuple[int, int] = (0, 1),
        shards: Literal["images", "batches"] = "images",
        transform_on: torch.device | None = None,
        pin: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch size must be at least 1; got {batch_size}")
        if workers < 0:
            raise ValueError(f"number of workers must be at least 0; got {workers}")
        if len(part) < (batch_size if drop_last else 1):
            raise DataError(
                f"{part.name} has {len(part)} images, fewer than a batch of {batch_size}. Set "
                f"training.batch_size to at most {max(len(part), 1)}, or add images."
            )
        self.part = part
        self.batch_size = batch_size
        self._seed = seed
        self._workers = workers
        self._shuffle = shuffle
        self._shard = shard
        self._shards = shards
        self._transform_on = transform_on
        self._pin = pin
        full, rest = divmod(len(part), batch_size)
        self.steps_per_epoch = full + (rest > 0 and not drop_last)
        self._keys = _Keys()
        self._loader: DataLoader[_Read] | None = None
        self._iterator: Iterator[_Read] | None = None
        self._serial = 0

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process begins anew, and loads there: it may not start processes.
        fresh = {"_workers": 0, "_keys": _Keys(), "_loader": None, "_iterator": None}
        return {**self.__dict__, **fresh}

    def iterate(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Return the batches of one epoch, from batch ``start_step`` on.

        Raises:
            DataError: (while iterating) An image cannot be read.
            BalenasError: (at once or while iterating) A worker cannot be started, or died.
            ValueError: ``epoch`` or ``start_step`` is out of range.
        """
        if epoch < 0 or not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(
                f"epoch must be at least 0 and start_step in 0..{self.steps_per_epoch}; got "
                f"{epoch=}, {start_step=}"
            )
        return self._open(self._epoch_keys(epoch, start_step))

    def endless(self, start_step: int = 0) -> Iterator[Batch]:
        """Return the batches of epochs 0, 1, 2, ... one after the other, without end.

        Batch ``k`` is batch ``k % steps_per_epoch`` of ``iterate(k // steps_per_epoch)``.

        Args:
            start_step: Number of batches to leave out at the start.

        Raises:
            DataError: (while iterating) An image cannot be read.
            BalenasError: (at once or while iterating) A worker cannot be started, or died.
            ValueError: ``start_step`` is negative.
        """
        if start_step < 0:
            raise ValueError(f"start_step must be at least 0; got {start_step}")
        return self._open(self._endless_keys(start_step))

    def close(self) -> None:
        """End the open iteration and the worker processes; a later iteration starts new ones."""
        self._serial += 1
        # The worker processes end when the last reference to torch's iterator goes.
        self._iterator = None
        self._loader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _epoch_keys(self, epoch: int, start_step: int) -> Iterator[list[_Key]]:
        count = len(self.part)
        if self._shuffle:
            random = generator(self._seed, "order", epoch)
            order = torch.randperm(count, generator=random).tolist()
        else:
            order = list(range(count))
        for step in range(start_step, self.steps_per_epoch):
            first = step * self.batch_size
            batch = order[first : first + self.batch_size]
            if self._shards == "batches":
                own = batch if step % self._shard[1] == self._shard[0] else []
            else:
                own = batch[self._shard[0] :: self._shard[1]]
            if own:
                yield [(epoch, position) for position in own]

    def _endless_keys(self, start_step: int) -> Iterator[list[_Key]]:
        epoch, step = divmod(start_step, self.steps_per_epoch)
        while True:
            yield from self._epoch_keys(epoch, step)
            epoch, step = epoch + 1, 0

    def _open(self, keys: Iterator[list[_Key]]) -> Iterator[Batch]:
        if self._loader is None:
            self._loader = DataLoader(
                _Reader(self.part, self._seed, is_raw=self._transform_on is not None),
                batch_sampler=self._keys,
                num_workers=self._workers,
                collate_fn=_as_is,
                pin_memory=self._pin,
                persistent_workers=self._workers > 0,
                worker_init_fn=end_with_parent_alone,
                # Without one, opening an iterator draws from the global generator.
                generator=torch.Generator(),
            )
        self._serial += 1
        self._keys.next = keys
        with self._workers_watched(), born_deaf():
            self._iterator = iter(self._loader)
        return _Batches(self, self._serial)

    def _read(self, serial: int) -> Batch:
        if serial != self._serial or self._iterator is None:
            raise RuntimeError(
                f"this iteration over {self.part.name} was ended by a later one, or by close(); "
                "use a loader of its own for each simultaneous iteration"
            )
        with self._workers_watched():
            read = next(self._iterator)
        if isinstance(read, DataError):
            self.close()
            raise read
        if isinstance(read, _Raw):
            assert self._transform_on is not None, "nothing else asks for raw images"
            return read.transformed(self.part, self._seed, self._transform_on)
        return Batch(*read)

    @contextmanager
    def _workers_watched(self) -> Iterator[None]:
        """Say what happened to a worker instead of what torch or the system say of it."""
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            reason = _fate_of_worker(error) if self._workers else None
            if reason is None:
                raise
            self.close()
            raise BalenasError(
                f"a process that loads {self.part.name} {reason} ({error}). The usual cause is "
                f"memory, or a limit on processes: set training.workers lower (now "
                f"{self._workers}); 0 uses no extra processes."
            ) from error


def _fate_of_worker(error: Exception) -> str | None:
    """Return what became of a worker; None where the error says nothing of that."""
    text = str(error)
    if text.startswith("DataLoader worker (pid"):
        return "died"
    if text.startswith("Caught "):  # what a living worker raised
        return None
    # A batch is fetched from the worker in a second step, which it may not live to see.
    if isinstance(error, EOFError | ConnectionError):
        return "died"
    is_refused = isinstance(error, OSError) and error.errno in _NO_MORE_PROCESSES
    return "cannot be started" if is_refused else None


class _Batches:
    """One iteration of a loader."""

    def __init__(self, loader: BatchLoader, serial: int) -> None:
        self._loader = loader
        self._serial = serial

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        return self._loader._read(self._serial)


class _Keys:
    """Sampler that hands torch's loader, and its living workers, the keys of each iteration."""

    def __init__(self) -> None:
        self.next: Iterator[list[_Key]] = iter(())

    def __iter__(self) -> Iterator[list[_Key]]:
        return self.next


@dataclass(frozen=True, slots=True)
class _Raw:
    """Images of a batch before their transforms, which may have different sizes.

    They travel as one tensor: from a worker every tensor takes a file descriptor.

    Args:
        pixels: uint8 tensor of all pixels.
        shapes: Shape of each image.
        labels: Class numbers.
        keys: Which images they are.
    """

    pixels: Tensor
    shapes: list[torch.Size]
    labels: Tensor
    keys: list[_Key]

    @classmethod
    def of(cls, images: list[Tensor], labels: Tensor, keys: list[_Key]) -> Self:
        """Put images together."""
        pixels = torch.cat([image.reshape(-1) for image in images])
        return cls(pixels, [image.shape for image in images], labels, keys)

    def pin_memory(self) -> Self:
        """Return the same in pinned memory: torch's loader calls it."""
        return replace(self, pixels=self.pixels.pin_memory(), labels=self.labels.pin_memory())

    def transformed(self, part: ImagePart, seed: int, device: torch.device) -> Batch:
        """Return the batch on a device, transformed there."""
        moved = self.pixels.to(device, non_blocking=True)
        pieces = moved.split([shape.numel() for shape in self.shapes])
        images = [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        views = _transformed(part, seed, self.keys, images)
        return Batch(views, self.labels.to(device, non_blocking=True))


class _Reader(Dataset[_Read]):
    """Reads whole batches, in a worker or in the main process."""

    def __init__(self, part: ImagePart, seed: int, *, is_raw: bool = False) -> None:
        self._part = part
        self._seed = seed
        self._is_raw = is_raw
        self._labels = torch.from_numpy(part.labels)

    def __getitems__(self, keys: list[_Key]) -> _Read:
        # An error travels as a value: torch would wrap the worker's traceback into its message.
        part = self._part
        labels = self._labels[[position for _, position in keys]]
        images = (part.images[int(part.indices[position])] for _, position in keys)
        try:
            if self._is_raw:
                return _Raw.of(list(images), labels, keys)
            return _transformed(part, self._seed, keys, images), labels
        except DataError as error:
            return error


def _transformed(part: ImagePart, seed: int, keys: list[_Key], images: Iterable[Tensor]) -> Tensor:
    """Return the views of images as one tensor."""
    views = []
    # Transforms draw on the CPU, so its generator is the only one to set and to restore.
    with torch.random.fork_rng(devices=()):
        for (epoch, position), image in zip(keys, images, strict=True):
            index = int(part.indices[position])
            torch.default_generator.manual_seed(derive_seed(seed, epoch, index))
            views.append(part.transform(image))
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        raise DataError(
            f"images of {part.name} differ in shape after the transform: "
            f"{', '.join(map(str, sorted(shapes)))}. Resize them to one shape."
        )
    return torch.stack(views)


def _as_is(read: Any) -> Any:
    return read
