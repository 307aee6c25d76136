// What the tests of linear attention's kernels share: on a card (tests/cuda) and emulated (tests/cuda_emulator).
#pragma once

#include <ATen/ATen.h>
#include <catch2/catch_test_macros.hpp>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "ops/reference/linear_attention.h"
#include "tests/ops/attention_inputs.h"

namespace linden::test {

// Of the output, relative to its norm. A gradient in bf16 passes through more roundings (features, S, dS, dy, itself: 1.65e-3 each), so
// it may have three quarters of what torch's own expression has.
constexpr double kMaxHalfError = 4e-3, kMaxFp32Error = 5e-6;
constexpr double kLastBits = 1e-6;  // of fp32: a comparison of two errors means nothing below

// The largest error of result i (0: the output) where torch's own expression has `own`, which is not finite where that overflows.
inline double allowed_error(size_t i, at::ScalarType dtype, double own) {
  const double allowed = std::isfinite(own) ? own : kMaxHalfError,
               bound = dtype == at::kFloat ? kMaxFp32Error : std::max(kMaxHalfError, i > 0 ? 0.75 * allowed : 0);
  return std::min(bound, std::max(2 * allowed, kLastBits));
}

inline constexpr const char* kResultNames[] = {"out", "dq", "dk", "dv", "dw_q", "dw_k"};

// The output and the gradients of q, k, v, w_q and w_k at a fixed dO.
template <class Function>
std::vector<at::Tensor> results(const Function& function, const LinearAttentionInputs& in, const at::Tensor& grad_out) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& x : leaves_of(in)) leaves.push_back(x.detach().clone().requires_grad_(true));
  const at::Tensor out = function(with_leaves(in, leaves));
  std::vector<at::Tensor> all = torch::autograd::grad({out}, leaves, {grad_out.to(out.scalar_type())});
  all.insert(all.begin(), out.detach());
  return all;
}
// Of the naive formula, in the inputs' dtype.
inline std::vector<at::Tensor> plain_results(const FeatureMapConfig& map, const LinearAttentionInputs& in, const at::Tensor& grad_out) {
  return results([&](const LinearAttentionInputs& x) { return reference::linear_attention_state(x, map); }, in, grad_out);
}

inline double error_of(const at::Tensor& x, const at::Tensor& truth) {
  const double norm = truth.norm().item<double>();
  return (x.to(at::kDouble) - truth).norm().item<double>() / (norm > 0 ? norm : 1);
}

inline std::vector<FeatureMapConfig> all_maps() {
  std::vector<FeatureMapConfig> maps;
  for (const std::string& name : feature_map_names()) maps.push_back(feature_map_of(name));
  return maps;
}

// The largest error of the output and of the gradients, a map and dtype, with its problem.
class WorstErrors {
 public:
  void note(const FeatureMapConfig& map, at::ScalarType dtype, size_t result, double error, double own, const std::string& where) {
    Entry& entry = entries_[fmt::format("{} {} {}", feature_map_name(map), c10::toString(dtype), result == 0 ? "out" : "gradients")];
    if (error > entry.error) entry = {error, own > 0 ? error / own : 0, where};
  }
  void print() const {
    for (const auto& [key, entry] : entries_) fmt::print("{:32} worst {:.2e} ({:.2f} x torch's own)  {}\n", key, entry.error, entry.ratio, entry.where);
  }

 private:
  struct Entry {
    double error = 0, ratio = 0;
    std::string where;
  };
  std::map<std::string, Entry> entries_;
};

// Inputs that are hard on a map: body(name, inputs, whether only finiteness is wanted of the output).
template <class Body>
void for_each_adversarial(const FeatureMapConfig& map, const LinearAttentionInputs& base, const Body& body) {
  LinearAttentionInputs in = base;
  in.k = base.k.narrow(1, 0, 1).expand_as(base.k).clone();
  body("all keys equal", in, false);
  in = base;
  in.k = base.k.clone();
  in.k.select(1, 5).fill_(60);
  body("one huge key", in, std::holds_alternative<ExpMapConfig>(map));
  in = base;
  in.q = base.q.clone();
  in.q.narrow(1, 10, 20).fill_(-200);
  // exp's features of such rows are not zero but normalised; the naive formula in fp64 is on its floor there.
  body("zero feature rows", in, std::holds_alternative<ExpMapConfig>(map));
  in = base;
  in.k = at::full_like(base.k, base.k.scalar_type() == at::kBFloat16 ? -90 : -97);  // features at the end of fp32's range
  body("features that underflow", in, true);
  in = base;
  in.v = base.v.sign() * 6e4;
  body("values at fp16's end", in, false);
  in = base;
  in.v = base.v + 30;
  body("values far from zero", in, false);
}

// kernel(inputs, dO) of those: the output within its bound, every gradient finite where fp64's fits the dtype.
template <class Kernel>
void check_adversarial(const FeatureMapConfig& map, const LinearAttentionInputs& base, const at::Tensor& grad_out, const Kernel& kernel) {
  const at::ScalarType dtype = base.q.scalar_type();
  for_each_adversarial(map, base, [&](const char* name, const LinearAttentionInputs& in, bool finite_only) {
    const std::vector<at::Tensor> truth = plain_results(map, to_dtype(in, at::kDouble), grad_out.to(at::kDouble)), ours = kernel(in, grad_out);
    const double error = error_of(ours[0], truth[0]);
    INFO(name << ", " << feature_map_name(map) << ", " << c10::toString(dtype) << ": error " << error);
    CHECK(ours[0].isfinite().all().item<bool>());
    if (!finite_only) CHECK(error <= (dtype == at::kFloat ? kMaxFp32Error : kMaxHalfError));
    for (size_t i = 1; i < ours.size(); ++i) {
      INFO(kResultNames[i]);
      const at::Tensor fits = dtype == at::kHalf ? truth[i].abs().le(6e4) : at::ones_like(truth[i], at::kBool);  // beyond: inf, as it should be
      CHECK(ours[i].isfinite().logical_or(fits.logical_not()).all().item<bool>());
    }
  });
}

}  // namespace linden::test
