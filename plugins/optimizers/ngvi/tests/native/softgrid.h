// Runs a __global__ function on the CPU, one thread after the other.
//
// Enough for element-wise kernels: no shared memory, barriers or warp functions. A test runs
// the grid forwards and backwards and asks for the same result, which finds races.
#pragma once
#include <cstdint>

#define __global__
#define __launch_bounds__(...)

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};
struct Extent3 {
  unsigned x = 1, y = 1, z = 1;
};
// As on the device: an access off a 16-byte boundary is an error (found by UBSan here).
struct alignas(16) float4 {
  float x, y, z, w;
};
inline thread_local Index3 threadIdx, blockIdx;
inline thread_local Extent3 blockDim, gridDim;

namespace softgrid {

template <class Kernel, class... Arguments>
void launch(unsigned grid, unsigned block, bool backwards, Kernel kernel, const Arguments&... arguments) {
  gridDim.x = grid;
  blockDim.x = block;
  for (unsigned b = 0; b < grid; ++b)
    for (unsigned t = 0; t < block; ++t) {
      blockIdx.x = backwards ? grid - 1 - b : b;
      threadIdx.x = backwards ? block - 1 - t : t;
      kernel(arguments...);
    }
}

}  // namespace softgrid
