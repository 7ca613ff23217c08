"""What the CUDA compiler makes of the kernels, on every architecture that is shipped."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import toolchain

pytestmark = pytest.mark.skipif(not toolchain.has("nvcc"), reason="needs nvcc")

ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]
KERNELS = 7  # two draws, five steps
MOST_REGISTERS = 64  # four blocks of 256 threads on a multiprocessor


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_spill_nothing_and_leave_room_for_four_blocks(architecture, tmp_path):
    built = toolchain.compile_kernels(
        architecture, "-cubin", "-Xptxas", "-v", out=tmp_path / "kernels.cubin"
    )
    assert built.returncode == 0, built.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", built.stderr)
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", built.stderr)]
    assert len(spills) == len(registers) == KERNELS
    assert set(spills) == {("0", "0")}
    assert max(registers) <= MOST_REGISTERS, registers


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_read_and_write_sixteen_bytes_at_a_time(architecture, tmp_path):
    ptx = tmp_path / "kernels.ptx"
    built = toolchain.compile_kernels(architecture, "-ptx", out=ptx)
    assert built.returncode == 0, built.stderr
    kernels = ptx.read_text().split(".entry ")[1:]
    assert len(kernels) == KERNELS
    for kernel in kernels:
        name = kernel.split("(")[0]
        depth = 4 if "StepOpILi0ELi0E" in name else 5 if "StepOp" in name else 2
        assert len(re.findall(r"\bld(?!\.param)\S*\.v4", kernel)) == depth
        stores = 2 if "SampleOpILb0E" in name else 3
        assert len(re.findall(r"\bst(?!\.param|\.local)\S*\.v4", kernel)) == stores
