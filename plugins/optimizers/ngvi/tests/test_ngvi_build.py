"""The build of the native code: what NGVI_BUILD promises."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def build(tmp_path, **environment):
    """Build the extensions of a copy of the project; return the process and the modules."""
    project = tmp_path / "project"
    shutil.copytree(
        PROJECT, project, ignore=shutil.ignore_patterns("build", "*.so", "tests", "*.egg-info")
    )
    process = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(tmp_path / "lib")],
        cwd=project,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return process, sorted(path.name for path in tmp_path.glob("lib/**/*.so"))


def test_none_builds_nothing(tmp_path):
    process, modules = build(tmp_path, NGVI_BUILD="none")
    assert process.returncode == 0, process.stderr
    assert modules == []


def test_an_unknown_mode_is_refused(tmp_path):
    process, _ = build(tmp_path, NGVI_BUILD="gpu")
    assert process.returncode != 0
    assert "NGVI_BUILD must be one of auto, none, cpu, cuda; got 'gpu'" in process.stderr


def test_auto_survives_a_compiler_that_fails_and_says_so(tmp_path):
    process, modules = build(tmp_path, NGVI_BUILD="auto", CC="false", CXX="false")
    assert process.returncode == 0, process.stderr
    assert modules == []
    assert "balenas_optimizer_ngvi._cpu not built" in process.stderr


def test_cpu_fails_loudly_where_the_compiler_fails(tmp_path):
    process, modules = build(tmp_path, NGVI_BUILD="cpu", CC="false", CXX="false")
    assert process.returncode != 0
    assert modules == []


def test_without_torch_auto_makes_a_pure_build(tmp_path):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text("raise ImportError('blocked')")
    process, modules = build(tmp_path, NGVI_BUILD="auto", PYTHONPATH=str(tmp_path / "blocked"))
    assert process.returncode == 0, process.stderr
    assert modules == []
    assert "torch is not importable" in process.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_cuda_builds_both_modules_for_all_architectures_and_they_import(tmp_path):
    process, modules = build(tmp_path, NGVI_BUILD="cuda")
    assert process.returncode == 0, process.stderr
    assert modules == ["_cpu.abi3.so", "_cuda.abi3.so"]
    package = next(tmp_path.glob("lib/**/_cuda.abi3.so")).parent
    code = (
        f"import sys, torch; sys.path.insert(0, {str(package)!r}); import _cpu, _cuda; "
        "assert torch._C._dispatch_has_kernel_for_dispatch_key('balenas_ngvi::step_', 'CUDA')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
