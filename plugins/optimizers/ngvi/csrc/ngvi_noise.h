// Standard normal numbers from a counter: element i of tensor t under a seed is a pure
// function of (seed, t, i), so neither threads, blocks, chunks nor the device change it.
//
// Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC.
// Normals by Box and Muller 1958, with 24-bit uniforms: |z| <= 5.8.
#pragma once
#include <cstdint>

#include "ngvi_math.h"

namespace ngvi {

NGVI_HD int32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_int(x);
#else
  return __builtin_bit_cast(int32_t, x);
#endif
}

NGVI_HD float bits_float(int32_t x) {
#if defined(__CUDA_ARCH__)
  return __int_as_float(x);
#else
  return __builtin_bit_cast(float, x);
#endif
}

struct Bits4 {
  uint32_t v[4];
};

NGVI_HD uint32_t high_product(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __umulhi(a, b);
#else
  return (uint32_t)((uint64_t)a * b >> 32);
#endif
}

NGVI_HD Bits4 philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t seed) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = high_product(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const uint32_t high1 = high_product(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// ln(u) for u = (top 24 bits + 1) / 2^24, exact and never zero: ln(u) = e ln 2 + 2 atanh((f - 1) / (f + 1)) with
// u = 2^e f, f in [2/3, 4/3). The series is cut after z^11; relative error below 2e-7.
NGVI_HD float log_uniform(uint32_t bits) {
  const float u = (float)((int32_t)(bits >> 8) + 1) * 0x1p-24f;
  const int32_t raw = float_bits(u);
  const int32_t exponent = (raw - 0x3f2aaaab) >> 23;  // 0x3f2aaaab is 2/3
  const float f = bits_float(raw - (int32_t)((uint32_t)exponent << 23));
  const float z = (f - 1.f) / (f + 1.f), w = z * z;
  const float series =
      1.f + w * (1.f / 3 + w * (1.f / 5 + w * (1.f / 7 + w * (1.f / 9 + w * (1.f / 11)))));
  return (float)exponent * 0.693147181f + 2.f * z * series;
}

// cos and sin of 2 pi v, v = top 24 bits / 2^24: quadrant and rest are exact in bits, then
// Taylor series on [-pi/4, pi/4], absolute error below 1e-7.
NGVI_HD void circle(uint32_t bits, float& cosine, float& sine) {
  const uint32_t turn = bits >> 8, quadrant = (turn + (1u << 21)) >> 22;
  const float a = (float)((int32_t)turn - (int32_t)(quadrant << 22)) * 3.74507027e-07f;  // 2pi/2^24
  const float w = a * a;
  const float s = a * (1.f + w * (-1.f / 6 + w * (1.f / 120 + w * (-1.f / 5040 + w * (1.f / 362880)))));
  const float c =
      1.f + w * (-0.5f + w * (1.f / 24 + w * (-1.f / 720 + w * (1.f / 40320 - w * (1.f / 3628800)))));
  const float swapped_c = quadrant & 1 ? -s : c, swapped_s = quadrant & 1 ? c : s;
  cosine = quadrant & 2 ? -swapped_c : swapped_c;
  sine = quadrant & 2 ? -swapped_s : swapped_s;
}

// Normals of elements 4 * group .. 4 * group + 3 of a tensor.
NGVI_HD void normals(uint64_t seed, uint32_t tensor, uint64_t group, float* z) {
  const Bits4 r = philox((uint32_t)group, (uint32_t)(group >> 32), tensor, 0u, seed);
  float c, s;
  circle(r.v[1], c, s);
  float radius = square_root(-2.f * log_uniform(r.v[0]));
  z[0] = radius * c;
  z[1] = radius * s;
  circle(r.v[3], c, s);
  radius = square_root(-2.f * log_uniform(r.v[2]));
  z[2] = radius * c;
  z[3] = radius * s;
}

}  // namespace ngvi
