"""Compiles the sources of the native code as the tests need it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "csrc"
WARNINGS = ["-Wall", "-Wextra", "-Wno-unknown-pragmas"]
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def has(program: str) -> bool:
    """Return whether a compiler is on the path."""
    return shutil.which(program) is not None


def build_softgrid(
    out: Path, sources: Path = SOURCES, *, sanitize: bool = True
) -> subprocess.CompletedProcess[str]:
    """Compile the software-grid tests against the sources in a folder."""
    flags = [*WARNINGS, *SANITIZERS] if sanitize else []
    return _run(
        ["g++", "-std=c++17", "-O1", *flags, f"-I{sources}", f"-I{HERE}",
         str(HERE / "softgrid_test.cpp"), "-o", str(out)]
    )  # fmt: skip


def run_softgrid(binary: Path) -> subprocess.CompletedProcess[str]:
    """Run the software-grid tests; the exit status is 0 when all of them hold."""
    return _run([str(binary)])


def compile_kernels(architecture: str, *flags: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Compile all kernels for one GPU architecture; stderr has what ptxas says."""
    return _run(
        ["nvcc", "-std=c++17", "-O3", f"-arch={architecture}", *flags, f"-I{SOURCES}",
         str(HERE / "instantiate.cu"), "-o", str(out)]
    )  # fmt: skip


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
