// Multi-tensor chunk table and launch planner. Plain host code, tested on the CPU.
#pragma once
#include <cstdint>

#include "ngvi_math.h"

namespace ngvi {

// The whole table rides in the kernel's parameter space, 4 KiB on every architecture:
// DEPTH pointers, a length and an identity per tensor, 5 bytes per block.
template <int DEPTH>
struct ChunkTable {
  static constexpr int kMaxTensors = 44;
  static constexpr int kMaxBlocks = 320;
  void* address[DEPTH][kMaxTensors];
  int64_t numel[kMaxTensors];
  uint32_t tensor[kMaxTensors];  // index in the caller's list: selects the noise stream
  int32_t block_chunk[kMaxBlocks];
  uint8_t block_slot[kMaxBlocks];
};
static_assert(sizeof(ChunkTable<5>) <= 4000, "leave room for the operator's arguments");

struct Range {
  int slot;
  int64_t first;
  int count;
};

template <int DEPTH>
NGVI_HD Range range_of(const ChunkTable<DEPTH>& table, int block, int64_t chunk) {
  Range r;
  r.slot = table.block_slot[block];
  r.first = table.block_chunk[block] * chunk;
  const int64_t left = table.numel[r.slot] - r.first;
  r.count = (int)(left < chunk ? left : chunk);
  return r;
}

// Splits a list of tensors into launches; emit(table, blocks) is called for each. A tensor
// may straddle launches; empty tensors are skipped. chunk must be a multiple of 4.
template <int DEPTH, class Emit>
void plan(void* const* const* address, const int64_t* numel, int n, int64_t chunk, Emit&& emit) {
  ChunkTable<DEPTH> table;
  int slots = 0, blocks = 0;
  auto flush = [&] {
    if (blocks) emit(table, blocks);
    slots = blocks = 0;
  };
  for (int i = 0; i < n; ++i) {
    const int64_t chunks = (numel[i] + chunk - 1) / chunk;
    int slot = -1;
    for (int64_t c = 0; c < chunks; ++c) {
      if (blocks == ChunkTable<DEPTH>::kMaxBlocks) {
        flush();
        slot = -1;
      }
      if (slot < 0) {
        if (slots == ChunkTable<DEPTH>::kMaxTensors) flush();
        slot = slots++;
        for (int d = 0; d < DEPTH; ++d) table.address[d][slot] = address[d][i];
        table.numel[slot] = numel[i];
        table.tensor[slot] = (uint32_t)i;
      }
      table.block_slot[blocks] = (uint8_t)slot;
      table.block_chunk[blocks] = (int32_t)c;
      ++blocks;
    }
  }
  flush();
}

}  // namespace ngvi
