"""What a search shows while it runs, on stderr."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from balenas_core.interfaces.events import (
    EpochEnded,
    Event,
    PriorFormed,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LONGEST_ARCHITECTURE = 160
_STATISTICS = {
    "sigma_mean": "mean sigma",
    "entropy": "entropy",
    "weights_entropy": "entropy of weights",
}
"""Statistics of a distribution that are shown where it has them -> what they are called."""


_UNITS = {"check": "epoch", "prior": "architecture"}
"""What phases count, where it is not candidates."""


class Progress(ABC):
    """A listener that shows a search, or a training."""

    @abstractmethod
    def begin(self, epochs: int, steps_per_epoch: int) -> None:
        """Take note of how much there is to do."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Take note of one event."""


class Silent(Progress):
    """Shows nothing."""

    def begin(self, epochs: int, steps_per_epoch: int) -> None:
        """Ignore it."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""


class EpochLines(Progress):
    """Writes one plain line per epoch, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._epochs = 0

    def begin(self, epochs: int, steps_per_epoch: int) -> None:
        """Take note of the number of epochs."""
        del steps_per_epoch
        self._epochs = epochs

    def __call__(self, event: Event) -> None:
        """Write a line when the prior is formed and when an epoch ends."""
        if isinstance(event, SearchStarted):
            self.begin(event.epochs, event.steps_per_epoch)
        elif isinstance(event, PriorFormed):
            self._console.print(f"prior: {prior_text(event)}", soft_wrap=True)
        elif isinstance(event, EpochEnded):
            line = f"epoch {event.epoch + 1}/{self._epochs}  {epoch_text(event.metrics)}"
            self._console.print(line, soft_wrap=True)


class Live(Progress):
    """Keeps a bar, the last numbers and the current architecture on the terminal."""

    def __init__(self, console: Console, label: str = "search") -> None:
        from rich.progress import (
            BarColumn,
            Progress as Bars,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[place]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._search = self._bars.add_task(label, total=None, place="starting")
        self._phases: dict[str, Any] = {}
        self._epochs = self._steps = 0
        self._step_losses = self._prior = ""
        self._metrics: Mapping[str, Any] = {}

    def begin(self, epochs: int, steps_per_epoch: int) -> None:
        """Set the bar's length."""
        self._epochs, self._steps = epochs, steps_per_epoch
        if epochs:
            self._bars.update(self._search, total=epochs * steps_per_epoch)
        else:  # such as random search: nothing is trained
            self._bars.update(self._search, visible=False)

    def __call__(self, event: Event) -> None:
        """Update what the next refresh of the display draws."""
        if isinstance(event, SearchStarted):
            self.begin(event.epochs, event.steps_per_epoch)
        elif isinstance(event, StepEnded):
            done = event.epoch * self._steps + event.step + 1
            place = f"epoch {event.epoch + 1}/{self._epochs} step {event.step + 1}/{self._steps}"
            self._bars.update(self._search, completed=done, place=place)
            self._step_losses = f"train {event.train_loss:.4f}"
            if event.validation_loss is not None:
                self._step_losses += f"  validation {event.validation_loss:.4f}"
        elif isinstance(event, PriorFormed):
            self._prior = prior_text(event)
        elif isinstance(event, EpochEnded):
            self._metrics = event.metrics
        elif isinstance(event, SelectionProgress):
            if event.phase not in self._phases:
                task = self._bars.add_task(event.phase, total=event.total, place="")
                self._phases[event.phase] = task
            unit = _UNITS.get(event.phase, "candidate")
            place = f"{unit} {event.done}/{event.total}"
            self._bars.update(self._phases[event.phase], completed=event.done, place=place)

    def render(self) -> RenderableType:
        """Return the display as it is now."""
        from rich.console import Group
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        if self._prior:
            grid.add_row("prior", self._prior)
        if self._step_losses:
            grid.add_row("loss", self._step_losses)
        if self._metrics:
            grid.add_row("last epoch", epoch_text(self._metrics, with_architecture=False))
        if "architecture" in self._metrics:
            grid.add_row("now", shorten(str(self._metrics["architecture"])))
        return Group(self._bars, grid)


@contextmanager
def shown(console: Console, *, quiet: bool, label: str = "search") -> Iterator[Progress]:
    """Yield the listener that suits ``console``, and tidy the terminal up at the end.

    Args:
        console: Where to.
        quiet: Whether to show nothing.
        label: What a bar is called.
    """
    if quiet:
        yield Silent()
    elif not console.is_terminal or console.is_dumb_terminal:
        yield EpochLines(console)
    else:
        from rich.live import Live as Display

        live = Live(console, label)
        with Display(
            get_renderable=live.render, console=console, refresh_per_second=4, transient=True
        ):
            yield live


def prior_text(event: PriorFormed) -> str:
    """Return what a line says of an informed prior."""
    strongest = ", ".join(f"{choice} ({effect:+.2f})" for choice, effect in event.strongest[:3])
    return (
        f"{event.architectures} architectures scored in {event.seconds:.1f} s, choices explain "
        f"{event.explained:.0%}; most for {strongest}"
    )


def epoch_text(metrics: Mapping[str, Any], *, with_architecture: bool = True) -> str:
    """Return one epoch's metrics as a line of text."""
    parts = [
        f"{part} {_number(metrics.get(f'{part}_loss'), '.4f')}"
        f" ({_number(metrics.get(f'{part}_accuracy'), '.1f')} %)"
        for part in ("train", "validation", "test")
        if f"{part}_loss" in metrics
    ]
    parts += [
        f"{label} {_number(metrics[key], '.3f')}"
        for key, label in _STATISTICS.items()
        if key in metrics
    ]
    if "seconds" in metrics:
        parts.append(f"{_number(metrics['seconds'], '.1f')} s")
    if with_architecture and "architecture" in metrics:
        parts.append(shorten(str(metrics["architecture"])))
    return "  ".join(parts)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def shorten(text: str, limit: int = _LONGEST_ARCHITECTURE) -> str:
    """Return ``text``, with its middle left out where it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
