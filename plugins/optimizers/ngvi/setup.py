"""Native parts of balenas-optimizer-ngvi, chosen by the environment variable NGVI_BUILD.

auto (default): CPU operators where a C++ compiler works, CUDA ones where nvcc is found; no
failure stops the install. none, cpu, cuda (both operators): exactly that, failing loudly.
TORCH_CUDA_ARCH_LIST chooses the GPU architectures.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Any

from setuptools import setup

MODES = ("auto", "none", "cpu", "cuda")
ARCHITECTURES = "8.0;9.0;10.0+PTX"
# torch 2.10 is the first release with all that the operators call.
MACROS = [("TORCH_TARGET_VERSION", "0x020a000000000000"), ("Py_LIMITED_API", "0x030A0000")]
CXX_FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-std=c++17"]


def cuda_root() -> str | None:
    """Ask nvcc for its toolkit, since the nvcc on PATH may be a script outside of it."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    answer = subprocess.run([nvcc, "-dryrun", "x.cu"], capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.+)$", answer.stderr, re.MULTILINE)
    return os.path.realpath(top.group(1).strip()) if top else None


def native_options(mode: str) -> dict[str, Any]:
    """Return setup()'s arguments for the extensions of a mode."""
    root = cuda_root()
    # Must be set before torch's module is imported: it guesses CUDA_HOME at import.
    if root is not None:
        os.environ.setdefault("CUDA_HOME", root)
    from torch.utils import cpp_extension

    extensions = [
        cpp_extension.CppExtension(
            "balenas_optimizer_ngvi._cpu",
            ["csrc/ngvi_cpu.cpp", "csrc/module_cpu.cpp"],
            define_macros=MACROS,
            extra_compile_args={"cxx": CXX_FLAGS},
            extra_link_args=["-s"],
            py_limited_api=True,
        )
    ]
    if mode == "cuda" or (mode == "auto" and cpp_extension.CUDA_HOME is not None):
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
        extensions.append(
            cpp_extension.CUDAExtension(
                "balenas_optimizer_ngvi._cuda",
                ["csrc/ngvi_cuda.cu", "csrc/module_cuda.cpp"],
                define_macros=[*MACROS, ("USE_CUDA", None)],
                extra_compile_args={"cxx": CXX_FLAGS, "nvcc": ["-O3", "-std=c++17"]},
                extra_link_args=["-s"],
                py_limited_api=True,
            )
        )

    class BuildOneByOne(cpp_extension.BuildExtension):  # type: ignore[misc]
        """Builds each extension on its own: a CUDA failure leaves the CPU operators."""

        def run(self) -> None:
            wanted, built, compiler = list(self.extensions), [], self.compiler
            for extension in wanted:
                # run() replaces the compiler's name by an object: give each its own.
                self.extensions, self.compiler = [extension], compiler
                try:
                    super().run()
                    built.append(extension)
                # Compilers, version checks and linkers fail in many ways, some by SystemExit.
                except (Exception, SystemExit) as error:
                    if mode != "auto":
                        raise
                    reason = f"{type(error).__name__}: {error}"
                    sys.stderr.write(f"warning: {extension.name} not built ({reason})\n")
            self.extensions = built

    return {
        "ext_modules": extensions,
        "cmdclass": {"build_ext": BuildOneByOne},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


def options() -> dict[str, Any]:
    """Return setup()'s arguments, empty for a pure wheel."""
    mode = os.environ.get("NGVI_BUILD", "auto")
    if mode not in MODES:
        raise SystemExit(f"NGVI_BUILD must be one of {', '.join(MODES)}; got {mode!r}")
    if mode == "none":
        return {}
    try:
        return native_options(mode)
    except ImportError as error:
        if mode != "auto":
            raise SystemExit(
                f"NGVI_BUILD={mode} needs torch at build time ({error}); "
                "install torch and use pip install --no-build-isolation"
            ) from error
        sys.stderr.write(f"note: no native operators, torch is not importable here ({error})\n")
        return {}


setup(**options())
