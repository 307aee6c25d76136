#include "experiment/bench_attention_cases.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "experiment/bench_card.h"
#include "ops/adaptive_layer_norm.h"
#include "ops/attention_measure.h"
#include "ops/linear_attention.h"
#include "ops/philox_normal.h"
#include "ops/reference/linear_attention.h"
#include "ops/rms_norm_rotary.h"

namespace linden {
namespace {

using Tensors = std::vector<at::Tensor>;
constexpr double kRotatedBytes = 512e6;  // several times any card's L2
constexpr double kMaxSets = 64;

// Normal tensors, no two alike.
class Inputs {
 public:
  Inputs(uint64_t seed, int64_t set, at::TensorOptions options) : seed_(seed), set_(set), options_(options) {}
  at::Tensor operator()(at::IntArrayRef sizes, double scale = 1) {
    const at::Tensor index = at::full({1}, number_++, options_.dtype(at::kLong)), step = at::full_like(index, set_);
    return philox_normal(seed_, Purpose::kData, index, step, sizes)[0].mul_(scale).to(options_.dtype());
  }

 private:
  uint64_t seed_;
  int64_t set_, number_ = 0;
  at::TensorOptions options_;
};

BenchCase linear_attention_case(const BenchRow& row, uint64_t seed, at::TensorOptions options) {
  const FeatureMapConfig map = feature_map_of(row.map);
  const BenchShape s = row.shape;
  const int64_t P = projected_dim_of(map, s.head_dim);
  BenchCase result;
  result.num_leaves = P > 0 ? 5 : 3;
  result.make = [=](int64_t set) {
    Inputs normal(seed, set, options);
    Tensors made = {normal(s.sizes()), normal(s.sizes()), normal(s.sizes())};
    for (int i = 0; P > 0 && i < 2; ++i) made.push_back(normal({s.heads, s.head_dim, P}, 1 / std::sqrt(static_cast<double>(s.head_dim))));
    return made;
  };
  result.call = [map, ours = row.implementation == "linden"](const Tensors& x) {
    const LinearAttentionInputs in{x[0], x[1], x[2], x.size() > 3 ? x[3] : at::Tensor(), x.size() > 3 ? x[4] : at::Tensor(), {}};
    return Tensors{ours ? linear_attention(in, {map}) : reference::linear_attention_state(in, map)};
  };
  return result;
}

BenchCase softmax_attention_case(const BenchRow& row, uint64_t seed, at::TensorOptions options) {
  const auto backend = attention_backend_of(row.implementation);
  check(backend.has_value(), "bench attention: softmax attention by \"{}\", which is no back-end", row.implementation);
  const std::vector<int64_t> sizes = row.shape.sizes();
  BenchCase result;
  result.num_leaves = 3;
  result.make = [=](int64_t set) {
    Inputs normal(seed, set, options);
    return Tensors{normal(sizes), normal(sizes), normal(sizes)};
  };
  result.call = [backend](const Tensors& x) {
    return Tensors{attention_by(*backend, {x[0].transpose(1, 2), x[1].transpose(1, 2), x[2].transpose(1, 2), {}}).transpose(1, 2)};
  };
  return result;
}

BenchCase rms_norm_rotary_case(const BenchRow& row, uint64_t seed, at::TensorOptions options) {
  const BenchShape s = row.shape;
  const RotaryTable table = make_rotary_table({1, 1, s.tokens}, s.head_dim, at::kFloat, options.device());
  BenchCase result;
  result.num_leaves = 2;
  result.make = [=](int64_t set) {
    Inputs normal(seed, set, options);
    return Tensors{normal({s.batch, s.tokens, s.heads * s.head_dim}), normal({s.heads * s.head_dim})};
  };
  result.call = [=, ours = row.implementation == "linden"](const Tensors& x) {
    if (ours) return Tensors{rms_norm_rotary(x[0], x[1], s.heads, table)};
    return Tensors{unfused_rms_norm_rotary(x[0].unflatten(-1, {s.heads, s.head_dim}), x[1], table.cos, table.sin)};
  };
  return result;
}

BenchCase adaptive_layer_norm_case(const BenchRow& row, uint64_t seed, at::TensorOptions options) {
  const int64_t B = row.shape.batch, N = row.shape.tokens, M = row.shape.heads * row.shape.head_dim;
  BenchCase result;
  result.num_leaves = 5;
  result.make = [=](int64_t set) {
    Inputs normal(seed, set, options);
    return Tensors{normal({B, N, M}), normal({B, N, M}), normal({B, M}), normal({B, M}), normal({B, M})};
  };
  result.call = [ours = row.implementation == "linden"](const Tensors& x) {
    if (!ours) return unfused_adaptive_layer_norm(x);
    const AdaptiveLayerNormOutputs out = adaptive_layer_norm({x[0], x[1], x[2], x[3], x[4], {}, {}});
    return Tensors{out.residual, out.normed};
  };
  return result;
}

double bytes_of(const Tensors& tensors) {
  double bytes = 0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

std::vector<Tensors> rotating_sets(const BenchCase& work, at::Device device) {
  std::vector<Tensors> sets = {work.make(0)};
  const int64_t count = device.is_cuda() ? static_cast<int64_t>(std::clamp(std::ceil(kRotatedBytes / bytes_of(sets[0])), 1.0, kMaxSets)) : 1;
  for (int64_t set = 1; set < count; ++set) sets.push_back(work.make(set));
  return sets;
}

CallTiming time_forward(const BenchCase& work, const std::vector<Tensors>& sets, const DeviceClock& clock) {
  const at::NoGradGuard no_grad;
  return clock.time([&](int64_t call) { return work.call(sets[static_cast<size_t>(call) % sets.size()]); });
}

CallTiming time_backward(const BenchCase& work, std::vector<Tensors>& sets, uint64_t seed, const DeviceClock& clock) {
  const at::AutoGradMode with_gradient(true);
  std::vector<Tensors> leaves, outputs;
  for (Tensors& set : sets) {
    leaves.emplace_back(set.begin(), set.begin() + work.num_leaves);
    for (at::Tensor& leaf : leaves.back()) leaf.requires_grad_();
    outputs.push_back(work.call(set));
  }
  Tensors cotangents;
  Inputs normal(seed, static_cast<int64_t>(sets.size()), outputs[0][0].options());
  for (const at::Tensor& output : outputs[0]) cotangents.push_back(normal(output.sizes()));
  return clock.time([&](int64_t call) {
    const size_t set = static_cast<size_t>(call) % sets.size();
    return torch::autograd::grad(outputs[set], leaves[set], cotangents, /*retain_graph=*/true);
  });
}

}  // namespace

at::Tensor unfused_rms_norm_rotary(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& cos, const at::Tensor& sin) {
  const at::Tensor wide = x.flatten(2).to(at::kFloat);
  const at::Tensor normed = ((wide * (wide.square().mean(-1, true) + 1e-6).rsqrt()).to(x.scalar_type()) * weight).view(x.sizes());
  const at::Tensor pairs = normed.to(at::kFloat).unflatten(-1, {x.size(3) / 2, 2}), c = cos.unsqueeze(1), s = sin.unsqueeze(1);
  const at::Tensor even = pairs.select(-1, 0), odd = pairs.select(-1, 1);
  return at::stack({even * c - odd * s, even * s + odd * c}, -1).flatten(-2).to(x.scalar_type());
}

std::vector<at::Tensor> unfused_adaptive_layer_norm(const std::vector<at::Tensor>& in) {
  const at::Tensor x = in[0] + in[1] * in[2].unsqueeze(1);
  const at::Tensor normed = at::layer_norm(x.to(at::kFloat), {x.size(-1)}, {}, {}, 1e-6).to(x.scalar_type());
  return {x, normed * (1 + in[3].unsqueeze(1)) + in[4].unsqueeze(1)};
}

BenchCase bench_case_of(const BenchRow& row, uint64_t seed, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(bench_dtype_of(row.dtype)).device(device);
  if (row.operation == "linear_attention") return linear_attention_case(row, seed, options);
  if (row.operation == "softmax_attention") return softmax_attention_case(row, seed, options);
  if (row.operation == "rms_norm_rotary") return rms_norm_rotary_case(row, seed, options);
  check(row.operation == "adaptive_layer_norm", "bench attention: no operation \"{}\"", row.operation);
  return adaptive_layer_norm_case(row, seed, options);
}

void time_row(BenchRow& row, uint64_t seed, const DeviceClock& clock) {
  if (!row.error.empty()) return;
  try {
    const BenchCase work = bench_case_of(row, seed, clock.device());
    std::vector<Tensors> sets = rotating_sets(work, clock.device());
    const CallTiming timing = row.pass == BenchPass::kForward ? time_forward(work, sets, clock) : time_backward(work, sets, seed, clock);
    row.us = timing.us;
    row.queued_us = timing.queued_us;
    row.repeats = timing.repeats;
    row.workspace_mb = timing.workspace_mb;
  } catch (const c10::Error& error) {  // memory, a back-end
    row.error = first_line(error.what_without_backtrace());
  } catch (const CheckError& error) {  // a shape that the operator is not made for
    row.error = first_line(error.what());
  }
  clock.empty_cache();
}

}  // namespace linden
