"""A console of rich that shows control characters instead of obeying them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from balenas_core.files import printable


class PrintableConsole(Console):
    """Every text that it prints is printable, whatever it stands in: tables, bars, styled text."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return styled text; here it still has the width that a column is given."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the pieces of what is printed; rich's own codes are in ``control`` ones."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
