// Every kernel that the operators launch, without torch: compiles in seconds, so that a test
// can read registers, spills and instructions from ptxas.
#include "ngvi_kernels.cuh"

using namespace ngvi;

template <class Op>
using Kernel = void (*)(ChunkTable<Op::kDepth>, Op, int64_t);

// Calling the dispatchers instantiates exactly what they can choose.
void instantiate(void (*use)(void*), int rule, bool flag) {
  auto take = [&](const auto& op) {
    using Op = std::decay_t<decltype(op)>;
    use((void*)static_cast<Kernel<Op>>(multi_tensor_kernel<Op>));
  };
  with_step_op(rule, flag, StepArgs{}, take);
  with_sample_op(flag, 1.f, 1.f, 1.f, 1, take);
}
