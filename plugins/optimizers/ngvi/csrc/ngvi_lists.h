// Checks and unpacking of the operators' arguments, shared by CPU and CUDA.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <vector>

#include "ngvi_ops.h"

namespace ngvi {

using torch::stable::Tensor;
using List = std::vector<Tensor>;

// Addresses of the elements of up to five lists that run side by side.
struct Lists {
  std::vector<void*> address[5];
  void* const* rows[5] = {};
  std::vector<int64_t> numel;
  int64_t total = 0;
  int device = -1;

  Lists(std::initializer_list<const List*> lists) {
    int depth = 0;
    for (const List* list : lists) add(*list, depth++);
  }

 private:
  void add(const List& list, int depth) {
    const size_t n = list.size();
    if (depth == 0) numel.resize(n);
    STD_TORCH_CHECK(n == numel.size(), "ngvi: list ", depth, " has ", n, " tensors, the first has ",
                    numel.size());
    address[depth].resize(n);
    for (size_t i = 0; i < n; ++i) {
      const AtenTensorHandle t = list[i].get();
      int32_t dtype = 0, device_index = 0;
      int64_t size = 0;
      aoti_torch_get_dtype(t, &dtype);
      aoti_torch_get_numel(t, &size);
      aoti_torch_get_device_index(t, &device_index);
      STD_TORCH_CHECK(dtype == aoti_torch_dtype_float32(), "ngvi: tensor ", i, " of list ", depth,
                      " is not float32");
      STD_TORCH_CHECK(list[i].is_contiguous(), "ngvi: tensor ", i, " of list ", depth,
                      " is not contiguous");
      if (depth == 0) {
        numel[i] = size;
        total += size;
      }
      if (device < 0 && depth == 0 && i == 0) device = device_index;
      STD_TORCH_CHECK(device_index == device, "ngvi: tensor ", i, " of list ", depth,
                      " is on another device");
      STD_TORCH_CHECK(size == numel[i], "ngvi: tensor ", i, " of list ", depth, " has ", size,
                      " elements, expected ", numel[i]);
      address[depth][i] = list[i].data_ptr();
    }
    rows[depth] = address[depth].data();
  }
};

inline double integer_power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

inline StepArgs step_args(double lr, double beta1, double beta2, double ess, double prior,
                          double radius, int64_t step, bool debias) {
  StepArgs a;
  a.lr = (float)lr;
  a.momentum_decay = (float)beta1, a.momentum_gain = (float)(1 - beta1);
  a.hess_decay = (float)beta2, a.hess_gain = (float)(1 - beta2);
  a.correction = (float)(0.5 * (1 - beta2) * (1 - beta2));
  a.ess = (float)ess, a.prior = (float)prior, a.delta = (float)(prior / ess);
  a.radius = (float)radius;
  a.momentum_debias = debias ? (float)(1 / (1 - integer_power(beta1, step))) : 1.f;
  a.hess_debias = debias ? (float)(1 / (1 - integer_power(beta2, step))) : 1.f;
  return a;
}

inline void check_given(int64_t rule, const List& curvature) {
  STD_TORCH_CHECK(rule == kVadam || !curvature.empty(), "ngvi: rule ", rule,
                  " needs a `curvature` list");
}

}  // namespace ngvi
