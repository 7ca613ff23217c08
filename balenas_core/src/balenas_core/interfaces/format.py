"""What a format is: how a network is written into files, and read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from torch import Tensor, nn

Network = Callable[[Tensor], Tensor]
"""`batch x channels x height x width`-dim images -> `batch x classes`-dim logits."""

CARD = "README.md"
"""The model card, which is written beside every network in a folder."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a network is written into files that other programs read.

    What ``write`` has written is read again and compared with the network on random images of two
    batch sizes, and kept only where the logits are equal up to rounding. Neither function may
    change the network or remember the folder, which is moved afterwards.

    Args:
        file: Name of the file with the weights. Its suffix stands for the format where ``--output``
            is a file.
        write: Writes a network, in evaluation mode on the CPU, into an empty folder, by what is
            known of it (a ``balenas_timm.Blueprint``); the last argument is the opset of ONNX
            that was asked for, or None. It returns facts about what it wrote as plain data, which
            are shown.
        read: Reads the network from such a folder.
        is_graph: Whether it holds the computation itself, so that a normalisation fits in.
        is_folder: Whether ``file`` alone is not enough, so that a folder is always written.
        has_opset: Whether it is written in a version of ONNX's operators.
        usage: Markdown for the model card: how the network is read by whom it is for. ``{shape}``
            stands for the shape of an image.

    Raises:
        ValueError: ``file`` is no name of a file with a suffix, or that of the model card.

    Example:
        >>> def write(network, blueprint, folder, opset):
        ...     torch.save(network, folder / "net.pt")
        ...     return {}
        >>> def read(folder):
        ...     return torch.load(folder / "net.pt", weights_only=False)
        >>> Format("net.pt", write, read).file
        'net.pt'
    """

    file: str
    write: Callable[[nn.Module, Any, Path, int | None], Mapping[str, Any]]
    read: Callable[[Path], Network]
    is_graph: bool = False
    is_folder: bool = False
    has_opset: bool = False
    usage: str = ""

    def __post_init__(self) -> None:
        """Check the name of the file."""
        name = PurePath(self.file)
        if name.name != self.file or not name.suffix or self.file == CARD:
            raise ValueError(
                f"file must be a name with a suffix, such as 'model.onnx', and not {CARD!r}; got "
                f"{self.file!r}"
            )
