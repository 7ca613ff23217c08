// What a kernel does with four or one elements of several parallel arrays. The index
// arithmetic (ngvi_kernels.cuh) knows nothing of the formulas, and the other way round.
#pragma once
#include "ngvi_math.h"
#include "ngvi_noise.h"

namespace ngvi {

// Arrays: 0 parameter (in: mean, out: sample), 1 hess, 2 mean (out), 3 noise (out, optional).
template <bool KEEP_NOISE>
struct SampleOp {
  static constexpr int kDepth = KEEP_NOISE ? 4 : 3;
  static constexpr unsigned kReads = 0x3, kWrites = KEEP_NOISE ? 0xd : 0x5;
  float ess, prior, sign;
  uint64_t seed;

  NGVI_HD void apply(float* v, float z) const {
    z *= sign;
    const float mean = v[0];
    v[0] = mean + z / root_precision(v[1], ess, prior);
    v[2] = mean;
    if (KEEP_NOISE) v[kDepth - 1] = z;
  }
  NGVI_HD void four(float (*v)[kDepth], uint32_t tensor, int64_t first) const {
    float z[4];
    normals(seed, tensor, (uint64_t)first / 4, z);
    for (int k = 0; k < 4; ++k) apply(v[k], z[k]);
  }
  NGVI_HD void one(float* v, uint32_t tensor, int64_t i) const {
    float z[4];
    normals(seed, tensor, (uint64_t)i / 4, z);
    // Selected without indexing, so that z stays in registers.
    const float low = i & 1 ? z[1] : z[0], high = i & 1 ? z[3] : z[2];
    apply(v, i & 2 ? high : low);
  }
};

// Where the curvature comes from: nothing but the gradient, the noise, or a given mean.
enum Source : int { kFromGradient = 0, kFromNoise = 1, kGiven = 2 };

// Arrays: 0 parameter, 1 momentum, 2 hess (in and out), 3 gradient, 4 noise or curvature.
template <int RULE, int SOURCE>
struct StepOp {
  static constexpr int kDepth = SOURCE == kFromGradient ? 4 : 5;
  static constexpr unsigned kReads = (1u << kDepth) - 1, kWrites = 0x7;
  StepArgs args;

  NGVI_HD void apply(float* v) const {
    float curvature;
    if (SOURCE == kFromGradient) curvature = v[3] * v[3];
    else curvature = SOURCE == kFromNoise ? v[kDepth - 1] * v[3] : v[kDepth - 1];
    update<RULE>(v[0], v[1], v[2], v[3], curvature, args);
  }
  NGVI_HD void four(float (*v)[kDepth], uint32_t, int64_t) const {
    for (int k = 0; k < 4; ++k) apply(v[k]);
  }
  NGVI_HD void one(float* v, uint32_t, int64_t) const { apply(v); }
};

// Calls run(op) with the operator of a rule; false when there is none.
template <class Run>
bool with_step_op(int rule, bool given, const StepArgs& args, Run&& run) {
  if (rule == kVadam && given) run(StepOp<kVadam, kGiven>{args});
  else if (rule == kVadam) run(StepOp<kVadam, kFromGradient>{args});
  else if (rule == kIvon && given) run(StepOp<kIvon, kGiven>{args});
  else if (rule == kIvon) run(StepOp<kIvon, kFromNoise>{args});
  else if (rule == kVogn && given) run(StepOp<kVogn, kGiven>{args});
  else return false;
  return true;
}

template <class Run>
void with_sample_op(bool keep_noise, float ess, float prior, float sign, uint64_t seed, Run&& run) {
  if (keep_noise) run(SampleOp<true>{ess, prior, sign, seed});
  else run(SampleOp<false>{ess, prior, sign, seed});
}

}  // namespace ngvi
