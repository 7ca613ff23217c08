"""What the draws since the last step have left: how many, and means of their gradients."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._gradients import check_gradients, with_gradient
from balenas_optimizer_ngvi.errors import SequenceError


class Samples:
    """The samples that the next step averages over; a step begins without any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.count = 0
        """Samples taken so far."""
        self._touched: dict[Tensor, None] = {}
        self._squares: dict[Tensor, Tensor] = {}

    def keep_square(self, parameter: Tensor, square: Tensor) -> None:
        """Keep the mean squared per-example gradient of the present draw (vogn)."""
        self._squares[parameter] = square

    def collect(self, buckets: Iterable[Bucket], *, of: int) -> None:
        """Take in the gradients of the draw that the parameters hold.

        ``.grad`` is None after it, and holds the mean gradient after the last sample. (With
        one sample gradients simply stay in ``.grad``, and this is not called.) Either way
        clipping, unscaling and hooks see an ordinary gradient before ``step``.

        Args:
            buckets: All buckets.
            of: Number of samples that a step averages over.

        Raises:
            SequenceError: ``vogn`` has no squared gradient of a parameter.
            OptionError: A gradient is sparse or complex.
        """
        is_last = self.count + 1 == of
        for bucket in buckets:
            active = with_gradient(bucket)
            check_gradients(bucket, active)
            bucket.collect(
                active,
                [self._square_of(bucket, index) for index in active],
                weight=1.0 / of,
                is_first=self.count == 0,
            )
            self._touched |= {bucket.parameters[i]: None for i in active}
            for index in active:
                bucket.parameters[index].grad = None
            if is_last:
                bucket.publish(self.touched(bucket, range(len(bucket.parameters))))
        self._squares = {}

    def _square_of(self, bucket: Bucket, index: int) -> Tensor | None:
        parameter = bucket.parameters[index]
        if bucket.variant == "vogn" and parameter not in self._squares:
            raise SequenceError(
                "variant 'vogn' needs the gradient of every example. Call "
                "optimizer.backward(losses) with a vector of losses instead of losses.mean()"
                ".backward()"
            )
        return self._squares.get(parameter)

    def touched(self, bucket: Bucket, indices: Iterable[int]) -> list[int]:
        """Return those of a bucket's parameters that had a gradient in any sample."""
        return [index for index in indices if bucket.parameters[index] in self._touched]
