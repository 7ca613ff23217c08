// The CUDA kernel's own source, its planner and its formulas, run on the CPU under sanitizers.
//
// The expected values are written out here in double precision, apart from ngvi_math.h. Exits
// with 1 and a line for each failed check.
#include "softgrid.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ngvi_kernels.cuh"

using namespace ngvi;

namespace {

constexpr int64_t kSmallChunk = 256;  // few elements and threads: every loop goes round
constexpr unsigned kFewThreads = 32;
constexpr int kGuard = 8;

int failures = 0;

void check(bool ok, const std::string& what) {
  if (ok) return;
  if (++failures <= 20) std::printf("FAILED: %s\n", what.c_str());
}

using Sizes = std::vector<int64_t>;

// Tensors inside of larger buffers with NaN margins, which no kernel may read or write.
struct Column {
  std::vector<std::vector<float>> whole;
  std::vector<void*> address;
  Sizes sizes;
  int shift;

  Column(const Sizes& sizes, int shift, const std::function<float()>& value)
      : sizes(sizes), shift(shift) {
    for (const int64_t n : sizes) {
      whole.emplace_back(n + 2 * kGuard + shift, std::nanf(""));
      float* data = whole.back().data() + kGuard + shift;
      for (int64_t i = 0; i < n; ++i) data[i] = value();
    }
    for (auto& w : whole) address.push_back(w.data() + kGuard + shift);
  }
  float at(size_t t, int64_t i) const { return whole[t][kGuard + shift + i]; }
  bool margins_untouched() const {
    for (size_t t = 0; t < sizes.size(); ++t)
      for (int64_t i = 0; i < (int64_t)whole[t].size(); ++i) {
        const bool inside = i >= kGuard + shift && i < kGuard + shift + sizes[t];
        if (!inside && !std::isnan(whole[t][i])) return false;
      }
    return true;
  }
};

template <class Op>
int run(std::vector<Column*> columns, const Op& op, bool backwards, int64_t chunk = kSmallChunk) {
  std::vector<void* const*> rows;
  for (const Column* c : columns) rows.push_back(c->address.data());
  int launches = 0;
  plan<Op::kDepth>(rows.data(), columns[0]->sizes.data(), (int)columns[0]->sizes.size(), chunk,
                   [&](const ChunkTable<Op::kDepth>& table, int blocks) {
                     ++launches;
                     softgrid::launch((unsigned)blocks, kFewThreads, backwards,
                                      multi_tensor_kernel<Op>, table, op, chunk);
                   });
  return launches;
}

struct CountOp {
  static constexpr int kDepth = 3;
  static constexpr unsigned kReads = 0x1, kWrites = 0x1;
  void one(float* v, uint32_t, int64_t) const { v[0] += 1.f; }
  void four(float (*v)[kDepth], uint32_t t, int64_t i) const {
    for (int k = 0; k < 4; ++k) one(v[k], t, i);
  }
};

const std::vector<std::pair<std::string, Sizes>>& shapes() {
  static const std::vector<std::pair<std::string, Sizes>> all = [] {
    const int64_t c = kSmallChunk;
    std::vector<std::pair<std::string, Sizes>> s = {
        {"logits", Sizes(4, 112)},
        {"tails", {0, 1, 2, 3, 4, 5, c - 1, c, c + 1, 2 * c - 3, 7 * c + 2, 0}},
        {"many blocks", {3, 700 * c + 1, 5}},
        {"exactly full", {320 * c, 1}},
        {"long first", {400 * c, 7, 9}},
    };
    Sizes many;
    for (int i = 0; i < 150; ++i) many.push_back(1 + i % 9);
    s.emplace_back("many tensors", many);
    return s;
  }();
  return all;
}

void every_element_once() {
  for (const auto& [name, sizes] : shapes())
    for (int shift : {0, 1})
      for (bool backwards : {false, true}) {
        auto zero = [] { return 0.f; };
        Column a(sizes, shift, zero), b(sizes, shift, zero), c(sizes, shift, zero);
        run({&a, &b, &c}, CountOp{}, backwards);
        bool once = true;
        for (size_t t = 0; t < sizes.size(); ++t)
          for (int64_t i = 0; i < sizes[t]; ++i) once = once && a.at(t, i) == 1.f;
        check(once, "each element once: " + name);
        check(a.margins_untouched() && b.margins_untouched(), "margins: " + name);
      }
}

// The blocks of a launch list must tile each tensor in order; lengths exceed any memory.
void ranges_beyond_memory() {
  for (const int64_t chunk : {kSmallChunk, kChunk}) {
    const Sizes sizes = {5, chunk == kChunk ? (int64_t(1) << 31) + 3 : 1 << 20, 0, chunk, 17};
    std::vector<void*> names;
    for (size_t i = 0; i < sizes.size(); ++i) names.push_back((void*)(1000 + i));
    void* const* rows[1] = {names.data()};
    std::vector<int64_t> next(sizes.size(), 0);
    bool tiled = true;
    plan<1>(rows, sizes.data(), (int)sizes.size(), chunk,
            [&](const ChunkTable<1>& table, int blocks) {
              for (int b = 0; b < blocks; ++b) {
                const Range r = range_of(table, b, chunk);
                const size_t t = (size_t)table.address[0][r.slot] - 1000;
                tiled = tiled && t < sizes.size() && table.tensor[r.slot] == t &&
                        r.first == next[t] && r.count > 0 && r.count <= chunk;
                if (t < sizes.size()) next[t] += r.count;
              }
            });
    check(tiled && next == sizes, "blocks tile tensors of any length");
  }
}

bool close(double got, double expected, double tolerance) {
  return std::fabs(got - expected) <= tolerance * (1 + std::fabs(expected));
}

// Published answers: kat_vectors of the authors' Random123 library.
void philox_known_answers() {
  const uint32_t f = 0xffffffffu;
  const Bits4 zero = philox(0, 0, 0, 0, 0), ones = philox(f, f, f, f, ~uint64_t(0));
  const Bits4 pi = philox(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0x299f31d0a4093822ull);
  const uint32_t expected[3][4] = {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
                                   {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu},
                                   {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}};
  check(!std::memcmp(zero.v, expected[0], 16), "philox of zeros");
  check(!std::memcmp(ones.v, expected[1], 16), "philox of ones");
  check(!std::memcmp(pi.v, expected[2], 16), "philox of pi");
}

double expected_normal(uint64_t seed, uint32_t tensor, int64_t i) {
  const uint64_t group = (uint64_t)i / 4;
  const Bits4 r = philox((uint32_t)group, (uint32_t)(group >> 32), tensor, 0, seed);
  const int pair = i & 2;
  const double u = ((double)(r.v[pair] >> 8) + 1) / 16777216.0;
  const double angle = 2 * M_PI * (double)(r.v[pair + 1] >> 8) / 16777216.0;
  return std::sqrt(-2 * std::log(u)) * (i & 1 ? std::sin(angle) : std::cos(angle));
}

void logarithm_and_circle_everywhere() {
  double worst_log = 0, worst_circle = 0;
  for (uint64_t k = 0; k < (1u << 24); k += 37) {
    const uint32_t bits = (uint32_t)(k << 8);
    const double u = ((double)k + 1) / 16777216.0;
    if (u < 1) worst_log = std::fmax(worst_log, std::fabs(log_uniform(bits) / std::log(u) - 1));
    float c, s;
    circle(bits, c, s);
    const double angle = 2 * M_PI * (double)k / 16777216.0;
    worst_circle = std::fmax(worst_circle, std::fabs(c - std::cos(angle)));
    worst_circle = std::fmax(worst_circle, std::fabs(s - std::sin(angle)));
  }
  float c, s;
  check(log_uniform(0) < -16 && std::isfinite(log_uniform(0)), "log of the smallest uniform");
  check(log_uniform(~0u) == 0, "log of the largest uniform");
  circle(~0u, c, s);
  check(close(c, 1, 1e-6), "end of the circle");
  check(worst_log < 4e-7 && worst_circle < 3e-7, "logarithm and circle");
}

template <bool KEEP>
void samples() {
  for (const auto& [name, sizes] : shapes())
    for (int shift : {0, 1})
      for (float sign : {1.f, -1.f}) {
        std::mt19937 bits(7);
        std::normal_distribution<float> normal;
        std::uniform_real_distribution<float> positive(0.1f, 2.f);
        Column p(sizes, shift, [&] { return normal(bits); });
        Column h(sizes, shift, [&] { return positive(bits); });
        Column mean(sizes, shift, [] { return 0.f; }), noise(sizes, shift, [] { return 0.f; });
        const Column before = p, curvature = h;
        const float ess = 50.f, prior = 2.f;
        const uint64_t seed = 0x123456789abcdefull;
        std::vector<Column*> columns = {&p, &h, &mean};
        if (KEEP) columns.push_back(&noise);
        run(columns, SampleOp<KEEP>{ess, prior, sign, seed}, shift == 1);
        bool good = true;
        for (size_t t = 0; t < sizes.size(); ++t)
          for (int64_t i = 0; i < sizes[t]; ++i) {
            const double z = sign * expected_normal(seed, (uint32_t)t, i);
            const double sigma = 1 / std::sqrt((double)ess * curvature.at(t, i) + prior);
            good = good && mean.at(t, i) == before.at(t, i) && h.at(t, i) == curvature.at(t, i) &&
                   close(p.at(t, i), before.at(t, i) + sigma * z, 2e-6) &&
                   close(noise.at(t, i), KEEP ? z : 0, 2e-6);
          }
        check(good, "sample: " + name);
        check(p.margins_untouched() && mean.margins_untouched() && noise.margins_untouched(),
              "margins of sample: " + name);
      }
}

// One element in double, from the formulas in the docstrings of _formulas.py.
struct Reference {
  double lr, beta1, beta2, ess, prior, radius;
  int t;

  void step(int rule, double& mu, double& m, double& s, double g, double c) const {
    const double delta = prior / ess, f1 = 1 - std::pow(beta1, t), f2 = 1 - std::pow(beta2, t);
    double move;
    if (rule == kVadam) {
      m = beta1 * m + (1 - beta1) * (g + delta * mu);
      s = beta2 * s + (1 - beta2) * c;
      move = (m / f1) / (std::sqrt(s / f2) + delta);
    } else {
      m = beta1 * m + (1 - beta1) * g;
      if (rule == kIvon) {
        // c is mean(eps * g); n = eps sigma, so ess (s + delta) mean(n g) = c / sigma.
        const double estimate = c * std::sqrt(ess * s + prior), d = s + delta;
        s = beta2 * s + (1 - beta2) * estimate +
            0.5 * (1 - beta2) * (1 - beta2) * (s - estimate) * (s - estimate) / d;
      } else {
        s = beta2 * s + (1 - beta2) * c;
      }
      move = (m / f1 + delta * mu) / (s + delta);
    }
    mu -= lr * std::fmax(-radius, std::fmin(move, radius));
  }
  StepArgs arguments() const {
    StepArgs a;
    a.lr = (float)lr;
    a.momentum_decay = (float)beta1, a.momentum_gain = (float)(1 - beta1);
    a.hess_decay = (float)beta2, a.hess_gain = (float)(1 - beta2);
    a.correction = (float)(0.5 * (1 - beta2) * (1 - beta2));
    a.ess = (float)ess, a.prior = (float)prior, a.delta = (float)(prior / ess);
    a.radius = (float)radius;
    a.momentum_debias = (float)(1 / (1 - std::pow(beta1, t)));
    a.hess_debias = (float)(1 / (1 - std::pow(beta2, t)));
    return a;
  }
};

template <int RULE, int SOURCE>
void steps() {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& [name, sizes] : shapes())
    for (int shift : {0, 1})
      for (double radius : {inf, 0.4}) {
        const Reference reference{0.1, 0.9, 0.95, 50, 2, radius, 3};
        std::mt19937 bits(11);
        std::normal_distribution<float> normal;
        std::uniform_real_distribution<float> positive(0.1f, 2.f);
        Column p(sizes, shift, [&] { return normal(bits); });
        Column m(sizes, shift, [&] { return 0.3f * normal(bits); });
        Column h(sizes, shift, [&] { return positive(bits); });
        Column g(sizes, shift, [&] { return normal(bits); });
        Column c(sizes, shift, [&] { return SOURCE == kGiven ? positive(bits) : normal(bits); });
        const Column p0 = p, m0 = m, h0 = h, g0 = g, c0 = c;
        std::vector<Column*> columns = {&p, &m, &h, &g};
        if (SOURCE != kFromGradient) columns.push_back(&c);
        run(columns, StepOp<RULE, SOURCE>{reference.arguments()}, shift == 1);
        bool good = true;
        for (size_t t = 0; t < sizes.size(); ++t)
          for (int64_t i = 0; i < sizes[t]; ++i) {
            double mu = p0.at(t, i), mom = m0.at(t, i), s = h0.at(t, i);
            const double grad = g0.at(t, i), extra = c0.at(t, i);
            const double curvature = SOURCE == kFromGradient ? grad * grad
                                     : SOURCE == kFromNoise  ? extra * grad
                                                             : extra;
            reference.step(RULE, mu, mom, s, grad, curvature);
            good = good && close(p.at(t, i), mu, 2e-6) && close(m.at(t, i), mom, 2e-6) &&
                   close(h.at(t, i), s, 2e-6) && g.at(t, i) == g0.at(t, i) &&
                   c.at(t, i) == c0.at(t, i);
          }
        const std::string what = "step of rule " + std::to_string(RULE) + ": " + name;
        check(good, what);
        check(p.margins_untouched() && m.margins_untouched() && h.margins_untouched(), what);
      }
}

// The dispatcher must choose the rule that it was asked for.
void dispatch() {
  const Reference reference{0.1, 0.9, 0.95, 50, 2, 1e9, 3};
  for (int rule = 0; rule < 4; ++rule)
    for (bool given : {false, true}) {
      float v[5] = {0.5f, 0.25f, 1.5f, -2.f, 0.75f};
      double mu = v[0], m = v[1], s = v[2];
      const bool known = with_step_op(rule, given, reference.arguments(), [&](const auto& op) { op.apply(v); });
      check(known == (rule < kVogn || (rule == kVogn && given)), "which rules exist");
      if (!known) continue;
      const double noise = 0.75, g = -2.0;
      reference.step(rule, mu, m, s, g, given ? noise : rule == kVadam ? g * g : noise * g);
      check(close(v[0], mu, 2e-6) && close(v[2], s, 2e-6), "dispatch of rule " + std::to_string(rule));
    }
}

void not_a_number_stays() {
  const Reference reference{0.1, 0.9, 0.95, 50, 2, 0.4, 3};
  float v[4] = {0.5f, 0.25f, 1.5f, std::nanf("")};
  StepOp<kVadam, kFromGradient>{reference.arguments()}.apply(v);
  check(std::isnan(v[0]), "the radius does not hide a NaN");
}

}  // namespace

int main() {
  every_element_once();
  ranges_beyond_memory();
  philox_known_answers();
  logarithm_and_circle_everywhere();
  samples<false>();
  samples<true>();
  steps<kVadam, kFromGradient>();
  steps<kVadam, kGiven>();
  steps<kIvon, kFromNoise>();
  steps<kIvon, kGiven>();
  steps<kVogn, kGiven>();
  dispatch();
  not_a_number_stays();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
