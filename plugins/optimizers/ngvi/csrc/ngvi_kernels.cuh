// The device kernel: chunk look-up, 16-byte path, scalar path for tails and misaligned views.
// Compiles as CUDA and, behind tests/native/softgrid.h, as C++ that a loop over the grid runs.
#pragma once
#include "ngvi_chunks.h"
#include "ngvi_ops.h"

namespace ngvi {

constexpr int kThreads = 256;
constexpr int kVector = 4;
constexpr int64_t kChunk = 16384;  // elements a block; a multiple of kVector

template <class Op>
__global__ void __launch_bounds__(kThreads)
    multi_tensor_kernel(const ChunkTable<Op::kDepth> table, const Op op, const int64_t chunk) {
  constexpr int D = Op::kDepth;
  const Range r = range_of(table, (int)blockIdx.x, chunk);
  const uint32_t tensor = table.tensor[r.slot];

  float* p[D];
  bool aligned = true;
#pragma unroll
  for (int d = 0; d < D; ++d) {
    p[d] = (float*)table.address[d][r.slot] + r.first;
    aligned = aligned && ((unsigned long long)p[d] % 16 == 0);
  }

  int done = 0;
  if (aligned) {
    const int vectors = r.count / kVector;
    for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
      float v[kVector][D];
#pragma unroll
      for (int d = 0; d < D; ++d)
        if (Op::kReads >> d & 1) {
          const float4 in = ((const float4*)p[d])[i];
          v[0][d] = in.x, v[1][d] = in.y, v[2][d] = in.z, v[3][d] = in.w;
        }
      op.four(v, tensor, r.first + (int64_t)i * kVector);
#pragma unroll
      for (int d = 0; d < D; ++d)
        if (Op::kWrites >> d & 1) {
          float4 out;
          out.x = v[0][d], out.y = v[1][d], out.z = v[2][d], out.w = v[3][d];
          ((float4*)p[d])[i] = out;
        }
    }
    done = vectors * kVector;
  }
  for (int i = done + (int)threadIdx.x; i < r.count; i += (int)blockDim.x) {
    float v[D];
#pragma unroll
    for (int d = 0; d < D; ++d)
      if (Op::kReads >> d & 1) v[d] = p[d][i];
    op.one(v, tensor, r.first + i);
#pragma unroll
    for (int d = 0; d < D; ++d)
      if (Op::kWrites >> d & 1) p[d][i] = v[d];
  }
}

}  // namespace ngvi
