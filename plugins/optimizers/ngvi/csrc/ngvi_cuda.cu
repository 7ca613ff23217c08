// CUDA kernels behind the same operators (LibTorch stable ABI, torch >= 2.10).
#include <cuda_runtime.h>

#include <torch/csrc/stable/accelerator.h>

#include "ngvi_kernels.cuh"
#include "ngvi_lists.h"

namespace ngvi {
namespace {

cudaStream_t current_stream(int device) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
  return (cudaStream_t)stream;
}

template <class Op>
void launch(const Lists& lists, const Op& op) {
  if (lists.total == 0) return;
  const torch::stable::accelerator::DeviceGuard guard(lists.device);
  const cudaStream_t stream = current_stream(lists.device);
  plan<Op::kDepth>(lists.rows, lists.numel.data(), (int)lists.numel.size(), kChunk,
                   [&](const ChunkTable<Op::kDepth>& table, int blocks) {
                     multi_tensor_kernel<Op><<<blocks, kThreads, 0, stream>>>(table, op, kChunk);
                     const cudaError_t error = cudaGetLastError();
                     STD_TORCH_CHECK(error == cudaSuccess, "ngvi: launch failed: ",
                                     cudaGetErrorString(error));
                   });
}

void sample_cuda(List parameter, List hess, List mean, List noise, double ess, double prior,
                 double sign, int64_t seed) {
  const bool keep = !noise.empty();
  const Lists lists = keep ? Lists{&parameter, &hess, &mean, &noise} : Lists{&parameter, &hess, &mean};
  with_sample_op(keep, (float)ess, (float)prior, (float)sign, (uint64_t)seed,
                 [&](const auto& op) { launch(lists, op); });
}

void step_cuda(List parameter, List momentum, List hess, List gradient, List curvature, int64_t rule,
               bool from_noise, double lr, double beta1, double beta2, double ess, double prior,
               double radius, int64_t step, bool debias) {
  check_given(rule, curvature);
  const bool listed = !curvature.empty();
  const Lists lists = listed ? Lists{&parameter, &momentum, &hess, &gradient, &curvature}
                             : Lists{&parameter, &momentum, &hess, &gradient};
  const StepArgs args = step_args(lr, beta1, beta2, ess, prior, radius, step, debias);
  const bool known = with_step_op((int)rule, listed && !from_noise, args,
                                  [&](const auto& op) { launch(lists, op); });
  STD_TORCH_CHECK(known, "ngvi: no rule ", rule, " with from_noise=", from_noise);
}

}  // namespace
}  // namespace ngvi

STABLE_TORCH_LIBRARY_IMPL(balenas_ngvi, CUDA, m) {
  m.impl("sample_", TORCH_BOX(&ngvi::sample_cuda));
  m.impl("step_", TORCH_BOX(&ngvi::step_cuda));
}
