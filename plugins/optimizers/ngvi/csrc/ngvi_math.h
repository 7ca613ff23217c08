// The update formulas, once, for every back end: CPU operator, CUDA kernel, software grid.
// Needs neither torch nor a CUDA header.
//
// An element has the parameter (its posterior mean), the momentum, the curvature estimate
// `hess`, and the gradient. The posterior is N(mean, 1 / (ess * hess + prior)).
#pragma once

#if defined(__CUDACC__)
#define NGVI_HD __host__ __device__ __forceinline__
#else
#define NGVI_HD inline __attribute__((always_inline))
#endif

namespace ngvi {

enum Rule : int { kVadam = 0, kIvon = 1, kVogn = 2 };

// Plain data, passed by value to kernels. What is the same for all elements is worked out
// on the host in double and rounded once.
struct StepArgs {
  float lr;
  float momentum_decay, momentum_gain;  // beta1, 1 - beta1
  float hess_decay, hess_gain;          // beta2, 1 - beta2
  float correction;                     // (1 - beta2)^2 / 2, keeps the IVON precision positive
  float ess;                            // N, effective sample size over temperature
  float prior;                          // lambda, prior precision
  float delta;                          // lambda / N
  float radius;                         // bound on the preconditioned step; infinity for none
  float momentum_debias;                // 1 / (1 - beta1^t)
  float hess_debias;                    // 1 / (1 - beta2^t), Vadam only
};

NGVI_HD float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

// Comparisons are written so that a NaN step stays NaN instead of turning into the radius.
NGVI_HD float clamp(float x, float radius) {
  x = x > radius ? radius : x;
  return x < -radius ? -radius : x;
}

NGVI_HD float root_precision(float hess, float ess, float prior) {
  return square_root(ess * hess + prior);
}

// mean_gradient: g.  curvature: g^2 or its mean over samples (Vadam), eps * g or its mean
// (IVON), the mean squared per-example gradient (VOGN).
template <int RULE>
NGVI_HD void update(float& mean, float& momentum, float& hess, float gradient, float curvature,
                    const StepArgs& a) {
  float step;
  if (RULE == kVadam) {
    momentum = a.momentum_decay * momentum + a.momentum_gain * (gradient + a.delta * mean);
    hess = a.hess_decay * hess + a.hess_gain * curvature;
    step = momentum * a.momentum_debias / (square_root(hess * a.hess_debias) + a.delta);
  } else {
    if (RULE == kIvon) {
      const float estimate = curvature * root_precision(hess, a.ess, a.prior);
      const float error = hess - estimate;
      hess = a.hess_decay * hess + a.hess_gain * estimate +
             a.correction * (error * error) / (hess + a.delta);
    } else {
      hess = a.hess_decay * hess + a.hess_gain * curvature;
    }
    momentum = a.momentum_decay * momentum + a.momentum_gain * gradient;
    step = (momentum * a.momentum_debias + a.delta * mean) / (hess + a.delta);
  }
  mean -= a.lr * clamp(step, a.radius);
}

}  // namespace ngvi
