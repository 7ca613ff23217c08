"""A vision transformer as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from balenas_core import Architecture, Cell, Edge
from balenas_core.errors import ArchitectureError

_TEXT = re.compile(r"w(\d{1,6})/d(\d{1,6})/(h\d{1,6}r\d{1,6}(?:-h\d{1,6}r\d{1,6})*)")


@dataclass(frozen=True, slots=True)
class Transformer(Architecture):
    """Channels of a token, number of blocks, and (heads, MLP ratio) of every possible block.

    Blocks from ``depth`` on are not there; what they would be is kept, so that an architecture
    has one value for every slot of the space.
    """

    width: int
    depth: int
    blocks: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        blocks = "-".join(f"h{heads}r{ratio}" for heads, ratio in self.blocks)
        return f"w{self.width}/d{self.depth}/{blocks}"

    def cells(self) -> tuple[Cell, ...]:
        """Return the chain of blocks that are there."""
        nodes = ("patches", *(str(number) for number in range(1, self.depth + 1)))
        operations = (f"width {self.width}", *(f"{h} heads, MLP x{r}" for h, r in self.blocks))
        edges = tuple(
            Edge(source, target, operation)
            for source, target, operation in zip(
                ("image", *nodes[:-1]), nodes, operations[: len(nodes)], strict=True
            )
        )
        return (Cell("transformer", ("image",), nodes, (nodes[-1],), edges),)


def parse(text: str) -> Transformer:
    """Read a text form such as ``w24/d2/h2r2-h1r1-h4r2``.

    Raises:
        ArchitectureError: It has another form.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ArchitectureError(
            f"expected a transformer such as w24/d2/h2r2-h1r1-h4r2 (width, depth, and heads and "
            f"MLP ratio of every block); got {text[:200]!r}."
        )
    width, depth, blocks = found.groups()
    pairs = (block[1:].split("r") for block in blocks.split("-"))
    return Transformer(int(width), int(depth), tuple((int(h), int(r)) for h, r in pairs))
