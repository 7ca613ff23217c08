// Operator schemas and CPU kernels (LibTorch stable ABI, torch >= 2.10).
#include <atomic>
#include <utility>

#include "ngvi_lists.h"

// One build serves old and new processors: the loader picks the clone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NGVI_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NGVI_CLONES
#endif

namespace ngvi {
namespace {

// target_clones wants ordinary functions, so each operator has its loop; the formulas are
// the shared inline ones.
// 64-bit counters: Python's -fwrapv makes narrower ones block vectorisation.
NGVI_CLONES void fill_noise(float* __restrict z, int64_t groups, uint64_t seed, uint32_t tensor,
                            uint64_t first_group) {
  for (int64_t g = 0; g < groups; ++g) normals(seed, tensor, first_group + g, z + 4 * g);
}

#define NGVI_SAMPLE_LOOP(NAME, KEEP)                                                             \
  NGVI_CLONES void NAME(float* __restrict parameter, const float* __restrict hess,               \
                        float* __restrict mean, float* __restrict noise,                         \
                        const float* __restrict z, int64_t n, const SampleOp<KEEP>& op) {        \
    for (int64_t i = 0; i < n; ++i) {                                                            \
      float v[SampleOp<KEEP>::kDepth];                                                           \
      v[0] = parameter[i], v[1] = hess[i];                                                       \
      op.apply(v, z[i]);                                                                         \
      parameter[i] = v[0], mean[i] = v[2];                                                       \
      if (KEEP) noise[i] = v[SampleOp<KEEP>::kDepth - 1];                                        \
    }                                                                                            \
  }
NGVI_SAMPLE_LOOP(sample_loop, true)
NGVI_SAMPLE_LOOP(sample_loop, false)

#define NGVI_STEP_LOOP(RULE, SOURCE)                                                             \
  NGVI_CLONES void step_loop(float* __restrict parameter, float* __restrict momentum,            \
                             float* __restrict hess, const float* __restrict gradient,           \
                             const float* __restrict curvature, int64_t n,                       \
                             const StepOp<RULE, SOURCE>& op) {                                   \
    for (int64_t i = 0; i < n; ++i) {                                                            \
      float v[StepOp<RULE, SOURCE>::kDepth];                                                     \
      v[0] = parameter[i], v[1] = momentum[i], v[2] = hess[i], v[3] = gradient[i];               \
      if (SOURCE != kFromGradient) v[StepOp<RULE, SOURCE>::kDepth - 1] = curvature[i];           \
      op.apply(v);                                                                               \
      parameter[i] = v[0], momentum[i] = v[1], hess[i] = v[2];                                   \
    }                                                                                            \
  }
NGVI_STEP_LOOP(kVadam, kFromGradient)
NGVI_STEP_LOOP(kVadam, kGiven)
NGVI_STEP_LOOP(kIvon, kFromNoise)
NGVI_STEP_LOOP(kIvon, kGiven)
NGVI_STEP_LOOP(kVogn, kGiven)

// Largest exponent among n floats; 255 is what NaN and infinity have. Integer maxima
// vectorise, floating-point ones that respect NaN do not.
NGVI_CLONES uint32_t largest_exponent(const float* __restrict x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t exponent = (uint32_t)float_bits(x[i]) >> 23 & 0xffu;
    largest = exponent > largest ? exponent : largest;
  }
  return largest;
}

// Pieces of at most kPiece elements over all tensors, handed to torch's thread pool.
constexpr int64_t kPiece = 32768;
template <class Body>
void for_pieces(const Lists& lists, Body&& body) {
  const int n = (int)lists.numel.size();
  if (lists.total <= kPiece) {
    for (int i = 0; i < n; ++i) body(i, (int64_t)0, lists.numel[i]);
    return;
  }
  std::vector<std::pair<int, int64_t>> pieces;
  for (int i = 0; i < n; ++i)
    for (int64_t first = 0; first < lists.numel[i]; first += kPiece) pieces.emplace_back(i, first);
  torch::stable::parallel_for(0, (int64_t)pieces.size(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const auto [i, first] = pieces[k];
      const int64_t left = lists.numel[i] - first;
      body(i, first, left < kPiece ? left : kPiece);
    }
  });
}

void sample_cpu(List parameter, List hess, List mean, List noise, double ess, double prior,
                double sign, int64_t seed) {
  const bool keep = !noise.empty();
  const Lists lists = keep ? Lists{&parameter, &hess, &mean, &noise} : Lists{&parameter, &hess, &mean};
  auto at = [&](int d, int i, int64_t k) { return (float*)lists.address[d][i] + k; };
  with_sample_op(keep, (float)ess, (float)prior, (float)sign, (uint64_t)seed, [&](const auto& op) {
    for_pieces(lists, [&](int i, int64_t first, int64_t n) {
      constexpr int64_t kBlock = 2048;  // noise that stays in the first-level cache
      alignas(64) float z[kBlock];
      for (int64_t k = first; k < first + n; k += kBlock) {
        const int64_t left = first + n - k, count = left < kBlock ? left : kBlock;
        fill_noise(z, (count + 3) / 4, op.seed, (uint32_t)i, (uint64_t)k / 4);
        sample_loop(at(0, i, k), at(1, i, k), at(2, i, k), keep ? at(3, i, k) : nullptr, z, count, op);
      }
    });
  });
}

void step_cpu(List parameter, List momentum, List hess, List gradient, List curvature, int64_t rule,
              bool from_noise, double lr, double beta1, double beta2, double ess, double prior,
              double radius, int64_t step, bool debias) {
  check_given(rule, curvature);
  const bool listed = !curvature.empty();
  const Lists lists = listed ? Lists{&parameter, &momentum, &hess, &gradient, &curvature}
                             : Lists{&parameter, &momentum, &hess, &gradient};
  const StepArgs args = step_args(lr, beta1, beta2, ess, prior, radius, step, debias);
  auto at = [&](int d, int i, int64_t k) { return (float*)lists.address[d][i] + k; };
  const bool known = with_step_op((int)rule, listed && !from_noise, args, [&](const auto& op) {
    for_pieces(lists, [&](int i, int64_t k, int64_t n) {
      step_loop(at(0, i, k), at(1, i, k), at(2, i, k), at(3, i, k), listed ? at(4, i, k) : nullptr, n, op);
    });
  });
  STD_TORCH_CHECK(known, "ngvi: no rule ", rule, " with from_noise=", from_noise);
}

bool all_finite_cpu(List gradient) {
  const Lists lists{&gradient};
  std::atomic<bool> finite{true};
  for_pieces(lists, [&](int i, int64_t first, int64_t n) {
    if (largest_exponent((const float*)lists.address[0][i] + first, n) == 255) finite = false;
  });
  return finite;
}

}  // namespace
}  // namespace ngvi

STABLE_TORCH_LIBRARY(balenas_ngvi, m) {
  m.def(
      "sample_(Tensor(a!)[] parameter, Tensor[] hess, Tensor(b!)[] mean, Tensor(c!)[] noise, "
      "float ess, float prior, float sign, int seed) -> ()");
  m.def(
      "step_(Tensor(a!)[] parameter, Tensor(b!)[] momentum, Tensor(c!)[] hess, Tensor[] gradient, "
      "Tensor[] curvature, int rule, bool from_noise, float lr, float beta1, float beta2, float ess, "
      "float prior, float radius, int step, bool debias) -> ()");
  m.def("all_finite(Tensor[] gradient) -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(balenas_ngvi, CPU, m) {
  m.impl("sample_", TORCH_BOX(&ngvi::sample_cpu));
  m.impl("step_", TORCH_BOX(&ngvi::step_cpu));
  m.impl("all_finite", TORCH_BOX(&ngvi::all_finite_cpu));
}
