"""Plants bugs in formulas, noise, planner and kernel, and checks that each is caught.

Every bug is one replaced text in a copy of ``csrc``; the software-grid tests must then fail,
by a failed check or, in a second build, by a sanitizer. Takes some minutes.

    python tests/native/plant_bugs.py [--jobs 2] [name ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import toolchain


@dataclass(frozen=True)
class Bug:
    """A text of a file and what a mistake would have made of it."""

    name: str
    file: str
    text: str
    mistake: str


MATH, NOISE, OPS = "ngvi_math.h", "ngvi_noise.h", "ngvi_ops.h"
PLAN, KERNEL = "ngvi_chunks.h", "ngvi_kernels.cuh"

BUGS = [
    Bug("prior left out of the precision", MATH, "ess * hess + prior)", "ess * hess)"),
    Bug("radius only from above", MATH, "x < -radius ? -radius : x", "x"),
    Bug("radius hides NaN", MATH, "x > radius ? radius : x", "x <= radius ? x : radius"),
    Bug("prior left out of vadam's momentum", MATH, "gradient + a.delta * mean)", "gradient)"),
    Bug(
        "vadam without its square root",
        MATH,
        "(square_root(hess * a.hess_debias)",
        "((hess * a.hess_debias)",
    ),
    Bug("vadam's curvature not debiased", MATH, "hess * a.hess_debias", "hess"),
    Bug("momentum not debiased", MATH, "momentum * a.momentum_debias +", "momentum +"),
    Bug(
        "ivon without its correction", MATH, "a.correction * (error * error)", "0 * (error * error)"
    ),
    Bug(
        "ivon's correction with the new hess",
        MATH,
        "const float error = hess - estimate;",
        "const float error = estimate - 2 * hess;",
    ),
    Bug(
        "ivon's root left out",
        MATH,
        "curvature * root_precision(hess, a.ess, a.prior)",
        "curvature",
    ),
    Bug("prior left out of the newton step", MATH, "+ a.delta * mean) / (hess", ") / (hess"),
    Bug("step uphill", MATH, "mean -= a.lr", "mean += a.lr"),
    Bug("one round less", NOISE, "round < 10", "round < 9"),
    Bug("key not bumped", NOISE, "k1 += 0xBB67AE85u", "k1 += 0u"),
    Bug(
        "logarithm of zero",
        NOISE,
        "(int32_t)(bits >> 8) + 1) * 0x1p-24f",
        "(int32_t)(bits >> 8)) * 0x1p-24f",
    ),
    Bug("logarithm cut short", NOISE, "w * (1.f / 5 + w * (1.f / 7", "w * (0.f / 5 + w * (1.f / 7"),
    Bug("quadrants swapped", NOISE, "quadrant & 2 ? -swapped_s", "quadrant & 1 ? -swapped_s"),
    Bug(
        "same noise in all tensors",
        NOISE,
        "(uint32_t)(group >> 32), tensor, 0u",
        "(uint32_t)(group >> 32), 0u, 0u",
    ),
    Bug("sign of antithetic noise lost", OPS, "z *= sign;", ""),
    Bug("mean not kept", OPS, "v[2] = mean;", "v[2] = v[0];"),
    Bug("scalar path takes another normal", OPS, "i & 2 ? high : low", "i & 2 ? low : high"),
    Bug(
        "square instead of noise",
        OPS,
        "SOURCE == kFromNoise ? v[kDepth - 1] * v[3]",
        "SOURCE == kFromNoise ? v[3] * v[3]",
    ),
    Bug("given squares ignored", OPS, "rule == kVadam && given", "rule == kVadam && !given"),
    Bug("last chunk forgotten", PLAN, "(numel[i] + chunk - 1) / chunk", "numel[i] / chunk"),
    Bug(
        "chunk index in 32 bits",
        PLAN,
        "table.block_chunk[block] * chunk",
        "(int)(table.block_chunk[block] * chunk)",
    ),
    Bug(
        "one block too many",
        PLAN,
        "blocks == ChunkTable<DEPTH>::kMaxBlocks",
        "blocks == ChunkTable<DEPTH>::kMaxBlocks + 1",
    ),
    Bug(
        "one tensor too many",
        PLAN,
        "slots == ChunkTable<DEPTH>::kMaxTensors",
        "slots == ChunkTable<DEPTH>::kMaxTensors + 1",
    ),
    Bug("slot kept after a flush", PLAN, "slot = -1;\n      }", "}"),
    Bug("last launch forgotten", PLAN, "    }\n  }\n  flush();", "    }\n  }"),
    Bug("tensor's identity is its slot", PLAN, "(uint32_t)i;", "(uint32_t)slot;"),
    Bug("tail read as a full chunk", PLAN, "left < chunk ? left : chunk", "chunk"),
    Bug("alignment not looked at", KERNEL, "bool aligned = true", "const bool aligned = true"),
    Bug("tail done twice", KERNEL, "done = vectors * kVector", "done = (vectors - 1) * kVector"),
    Bug(
        "tail left out",
        KERNEL,
        "int i = done + (int)threadIdx.x",
        "int i = r.count + (int)threadIdx.x",
    ),
    Bug(
        "threads overlap",
        KERNEL,
        "i < vectors; i += (int)blockDim.x",
        "i < vectors; i += (int)blockDim.x - 1",
    ),
    Bug(
        "chunk's start left out of the noise index",
        KERNEL,
        "r.first + (int64_t)i * kVector",
        "(int64_t)i * kVector",
    ),
    Bug("hess never written", OPS, "kWrites = 0x7", "kWrites = 0x3"),
]


def plant(bug: Bug, folder: Path) -> None:
    """Copy the sources into a folder with one bug in them."""
    shutil.copytree(toolchain.SOURCES, folder)
    file = folder / bug.file
    text = file.read_text()
    if bug.text not in text:
        raise SystemExit(f"{bug.name}: {bug.file} has no {bug.text!r}; bring BUGS up to date")
    changed = text.replace(bug.text, bug.mistake)
    if bug.name == "alignment not looked at":
        changed = changed.replace("aligned = aligned && ((unsigned long long)p[d] % 16 == 0);", "")
    file.write_text(changed)


def verdict(bug: Bug) -> tuple[str, str]:
    """Return how a bug was caught ("" if it was not) and the evidence."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(bug, folder / "csrc")
        # The plain build compiles three times faster and catches most.
        for sanitize in (False, True):
            binary = folder / "tests"
            built = toolchain.build_softgrid(binary, folder / "csrc", sanitize=sanitize)
            if built.returncode != 0:
                return "compiler", built.stderr
            ran = toolchain.run_softgrid(binary)
            output = ran.stdout + ran.stderr
            if "FAILED" in output:
                return "check", output
            if sanitize and ran.returncode != 0:
                return "sanitizer", output
    return "", output


def main() -> int:
    """Run all bugs or those named; return the number that were not caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    bugs = [bug for bug in BUGS if not arguments.names or bug.name in arguments.names]
    missed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for bug, (how, _) in zip(bugs, pool.map(verdict, bugs), strict=True):
            missed += not how
            sys.stdout.write(f"{how or 'NOT CAUGHT':10s}  {bug.name}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(bugs) - missed} of {len(bugs)} bugs caught\n")
    return missed


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
