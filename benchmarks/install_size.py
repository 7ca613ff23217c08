"""What an installation takes on the disk: balenas, and what each extra adds to it.

Counts the files of every distribution that pip would install, from the metadata of this
environment; what is not installed here is named. ``python benchmarks/install_size.py`` prints a
table for docs/install.md.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CUDA = ("nvidia-", "cuda-", "triton")
"""What the CUDA build of torch brings along, by the start of its name."""


@cache
def megabytes(name: str) -> float | None:
    """Return what one distribution takes, None where it is not installed."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def needed(requirement: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of all distributions that a requirement installs."""
    wanted = Requirement(requirement)
    name, extras = canonicalize_name(wanted.name), tuple(wanted.extras) or ("",)
    if name in seen:
        return set()
    found = {name}
    try:
        inner = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found
    for text in inner:
        marker = Requirement(text).marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            own_extra = canonicalize_name(Requirement(text).name) == name
            found |= needed(text, seen if own_extra else seen | {name})
    return found


def _row(title: str, names: set[str]) -> str:
    sizes = {name: megabytes(name) for name in sorted(names)}
    missing = [name for name, size in sizes.items() if size is None]
    total = sum(size for size in sizes.values() if size is not None)
    left_out = f" (without {', '.join(missing)}, not measured)" if missing else ""
    return f"| {title} | {total:,.0f}{left_out} |"


def main() -> None:
    """Print the table."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    base = set().union(*map(needed, project["dependencies"]))
    cuda = {name for name in base if name.startswith(CUDA)}
    print("| | MB on the disk |\n|---|---|")
    print(_row("`balenas` but for torch", base - cuda - needed("torch")))
    print(_row(f"torch {metadata.version('torch')} with what it needs but CUDA's libraries",
               needed("torch") - cuda))  # fmt: skip
    print(_row("CUDA's libraries and triton, with a CUDA build of torch", cuda))
    for extra, requirements in project["optional-dependencies"].items():
        more = set().union(*map(needed, requirements)) - base
        print(_row(f"`balenas[{extra}]` adds", more))


if __name__ == "__main__":
    main()
