// Linear attention: the two naive formulas against each other, the operator against them, gradients, padding, strides,
// determinism, memory, and what bad input is told.
#include "ops/linear_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <limits>
#include <string>

#include "ops/reference/linear_attention.h"
#include "tests/ops/attention_inputs.h"
#include "tests/ops/cpu_autocast.h"
#include "tests/support/support.h"

using namespace linden;
using namespace linden::test;
using Catch::Matchers::ContainsSubstring;

namespace {

// Sets the number of threads and puts it back.
class Threads {
 public:
  explicit Threads(int count) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

struct Run {
  at::Tensor out;
  std::vector<at::Tensor> grads;
};
using Formula = at::Tensor (*)(const LinearAttentionInputs&, const FeatureMapConfig&);
at::Tensor operator_of(const LinearAttentionInputs& in, const FeatureMapConfig& map) { return linear_attention(in, {map}); }

Run run_with_gradients(Formula formula, const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  std::vector<at::Tensor> leaves = leaves_of(in);
  for (at::Tensor& leaf : leaves) leaf = leaf.detach().clone().requires_grad_();
  const at::Tensor out = formula(with_leaves(in, leaves), map);
  return {out, torch::autograd::grad({out}, leaves, {normal(out.sizes(), 77, out.scalar_type())})};
}

bool all_equal(const Run& a, const Run& b) {
  bool equal = at::equal(a.out, b.out);
  for (size_t i = 0; i < a.grads.size(); ++i) equal = equal && at::equal(a.grads[i], b.grads[i]);
  return equal;
}

std::string fault_of(const LinearAttentionInputs& in, const LinearAttentionConfig& config) {
  return message_of([&] { linear_attention(in, config); });
}

}  // namespace

TEST_CASE("linear attention: the quadratic and the state form agree, and so do their gradients", "[unit]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    LinearAttentionInputs in = attention_inputs(map, {2, 33, 2, 32}, at::kDouble);
    in.num_valid = at::tensor({int64_t{33}, int64_t{20}});
    const Run quadratic = run_with_gradients(reference::linear_attention_quadratic, in, map);
    const Run state = run_with_gradients(reference::linear_attention_state, in, map);
    INFO(name);
    CHECK(relative_error(quadratic.out, state.out) < 1e-12);
    for (size_t i = 0; i < state.grads.size(); ++i) CHECK(relative_error(quadratic.grads[i], state.grads[i]) < 1e-11);
  }
}

TEST_CASE("linear attention: gradients of every map equal central differences in fp64", "[unit][truth]") {
  for (const std::string& name : feature_map_names()) {
    FeatureMapConfig map = feature_map_of(name);
    if (auto* taylor = std::get_if<Taylor2MapConfig>(&map)) taylor->projected_dim = 5;
    LinearAttentionInputs in = attention_inputs(map, {2, 9, 2, 32}, at::kDouble);
    in.num_valid = at::tensor({int64_t{9}, int64_t{4}});
    INFO(name);
    CHECK(gradient_error([&](const std::vector<at::Tensor>& leaves) { return linear_attention(with_leaves(in, leaves), {map}); }, leaves_of(in)) < 1e-7);
  }
}

TEST_CASE("linear attention: output and gradients in fp64 equal the reference over several blocks and stretches", "[unit]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    LinearAttentionInputs in = attention_inputs(map, {2, 700, 1, 64}, at::kDouble);
    in.num_valid = at::tensor({int64_t{700}, int64_t{515}});
    const Run got = run_with_gradients(operator_of, in, map), wanted = run_with_gradients(reference::linear_attention_state, in, map);
    INFO(name);
    CHECK(relative_error(got.out, wanted.out) < 1e-12);
    for (size_t i = 0; i < wanted.grads.size(); ++i) CHECK(relative_error(got.grads[i], wanted.grads[i]) < 1e-11);
  }
}

TEST_CASE("linear attention: padding is never read, and its rows of output and gradients are 0", "[unit]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    LinearAttentionInputs in = attention_inputs(map, {3, 70, 2, 32}, at::kFloat);
    LinearAttentionInputs shorter = in;
    for (at::Tensor LinearAttentionInputs::*x : {&LinearAttentionInputs::q, &LinearAttentionInputs::k, &LinearAttentionInputs::v}) {
      (in.*x).narrow(1, 41, 29).fill_(std::numeric_limits<double>::quiet_NaN());
      (in.*x).select(0, 2).fill_(std::numeric_limits<double>::quiet_NaN());
      shorter.*x = (in.*x).narrow(0, 0, 2).narrow(1, 0, 41).contiguous();
    }
    in.num_valid = at::tensor({int64_t{41}, int64_t{41}, int64_t{0}});
    const Run padded = run_with_gradients(operator_of, in, map);
    const auto of_valid = [](const at::Tensor& x) { return x.narrow(0, 0, 2).narrow(1, 0, 41); };
    INFO(name);
    CHECK(relative_error(of_valid(padded.out), linear_attention(shorter, {map})) < 1e-6);
    for (const at::Tensor& x : {padded.out, padded.grads[0], padded.grads[1], padded.grads[2]}) {
      CHECK(x.narrow(1, 41, 29).eq(0).all().item<bool>());
      CHECK(x.select(0, 2).eq(0).all().item<bool>());
      CHECK(of_valid(x).isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("linear attention: strided views give the bits of contiguous inputs", "[unit]") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const FeatureMapConfig map = HedgehogMapConfig{};
    const LinearAttentionInputs in = attention_inputs(map, {2, 65, 3, 32}, dtype);
    const at::Tensor plain = linear_attention(in, {map});
    LinearAttentionInputs views = in;
    views.q = in.q.transpose(1, 2).contiguous().transpose(1, 2);  // heads before tokens in memory
    const at::Tensor fused = at::stack({in.k, in.v}, 2);          // [B, N, 2, H, D]
    views.k = fused.select(2, 0);
    views.v = at::stack({in.v, in.v}, -1).select(-1, 1);  // stride 2 in the last dimension
    REQUIRE_FALSE(views.k.is_contiguous());
    CHECK(at::equal(linear_attention(views, {map}), plain));
  }
}

TEST_CASE("linear attention: bit-equal from run to run and for 1, 2 and 3 threads, forward and backward", "[unit]") {
  for (const AttentionShape& shape : {AttentionShape{1, 700, 1, 64}, AttentionShape{1, 129, 3, 128}, AttentionShape{3, 200, 2, 32}}) {
    for (const std::string& name : {std::string("hedgehog"), std::string("exp"), std::string("taylor2")}) {
      const FeatureMapConfig map = feature_map_of(name);
      const LinearAttentionInputs in = attention_inputs(map, shape, at::kFloat);
      const auto run = [&](int threads) {
        const Threads guard(threads);
        return run_with_gradients(operator_of, in, map);
      };
      const Run one = run(1);
      INFO(name << " N = " << shape.N);
      CHECK(all_equal(run(1), one));
      CHECK(all_equal(run(2), one));
      CHECK(all_equal(run(3), one));
    }
  }
}

TEST_CASE("linear attention: one token gives back v, and equal keys give the mean of v", "[unit]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    LinearAttentionInputs in = attention_inputs(map, {1, 1, 2, 32}, at::kDouble);
    INFO(name);
    CHECK(relative_error(linear_attention(in, {map}), in.v) < 1e-13);
    in = attention_inputs(map, {1, 50, 2, 32}, at::kDouble);
    in.k = in.k.narrow(1, 0, 1).expand({1, 50, 2, 32});
    CHECK(relative_error(linear_attention(in, {map}), in.v.mean(1, true).expand_as(in.v)) < 1e-13);
  }
}

TEST_CASE("linear attention: a relu row without features is 0 and passes no gradient", "[unit]") {
  LinearAttentionInputs in = attention_inputs(ReluMapConfig{}, {1, 5, 1, 32}, at::kFloat);
  in.q.select(1, 2).fill_(-1);
  const Run run = run_with_gradients(operator_of, in, ReluMapConfig{});
  CHECK(run.out.select(1, 2).eq(0).all().item<bool>());
  CHECK(run.grads[0].select(1, 2).eq(0).all().item<bool>());
  CHECK(run.grads[1].isfinite().all().item<bool>());
}

TEST_CASE("linear attention: W may stay in fp32 beside bf16 activations, and its gradient keeps its dtype", "[unit]") {
  LinearAttentionInputs in = attention_inputs(HedgehogMapConfig{}, {1, 20, 2, 32}, at::kBFloat16);
  const at::Tensor rounded = linear_attention(in, {HedgehogMapConfig{}});
  in.w_q = in.w_q.to(at::kFloat);
  in.w_k = in.w_k.to(at::kFloat);
  const Run run = run_with_gradients(operator_of, in, HedgehogMapConfig{});
  CHECK(at::equal(run.out, rounded));
  CHECK(run.grads[0].scalar_type() == at::kBFloat16);
  CHECK(run.grads[3].scalar_type() == at::kFloat);
}

TEST_CASE("linear attention: 32,760 tokens take less than the memory of the inputs forward, and half of it beside the results with backward", "[unit]") {
  const auto status = [](const std::string& key) {  // MiB
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;)
      if (double value; word == key + ":" && file >> value) return value / 1024;
    return 0.0;
  };
  const FeatureMapConfig map = HedgehogMapConfig{};
  LinearAttentionInputs in = attention_inputs(map, {1, 32760, 2, 64}, at::kFloat);
  for (at::Tensor* x : {&in.q, &in.k, &in.v, &in.w_q, &in.w_k}) x->requires_grad_();
  const at::Tensor cotangent = at::ones_like(in.q.detach());
  malloc_trim(0);  // so that memory freed before does not hide what the operator takes
  const double inputs_mib = 3.0 * in.q.numel() * 4 / (1 << 20), before = status("VmRSS");
  if (!(std::ofstream("/proc/self/clear_refs") << 5 << std::flush)) SKIP("peak memory cannot be reset: /proc/self/clear_refs is not writable");
  const at::Tensor out = linear_attention(in, {map});
  const double forward = status("VmHWM") - before;
  torch::autograd::grad({out}, {in.q, in.k, in.v, in.w_q, in.w_k}, {cotangent});
  const double both = status("VmHWM") - before;
  INFO("inputs " << inputs_mib << " MiB, peak forward +" << forward << ", forward and backward +" << both);
  CHECK(forward > 0);
  CHECK(forward < 1.0 * inputs_mib);
  CHECK(both < (1 + 1.0 / 3 + 0.5) * inputs_mib);  // the gradients are as large as the inputs, the output a third of them
}

TEST_CASE("linear attention: bad input is told argument, what was got and what is wanted", "[unit]") {
  const LinearAttentionConfig hedgehog{HedgehogMapConfig{}}, relu{ReluMapConfig{}}, taylor{Taylor2MapConfig{}};
  const LinearAttentionInputs good = attention_inputs(hedgehog.feature_map, {2, 5, 2, 32}, at::kFloat);
  const auto fault = [&](const LinearAttentionConfig& config, const std::function<void(LinearAttentionInputs&)>& spoil) {
    LinearAttentionInputs in = good;
    if (!has_projection(config.feature_map)) in.w_q = in.w_k = at::Tensor();
    spoil(in);
    return fault_of(in, config);
  };
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.q = in.q[0]; }), ContainsSubstring("q has shape [5, 2, 32], wanted rank 4 [B, N, H, D]"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.k = in.k.narrow(1, 0, 4); }), ContainsSubstring("k has shape [2, 4, 2, 32], wanted q's [2, 5, 2, 32]"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.v.reset(); }), ContainsSubstring("v is undefined, wanted [B, N, H, D]"));
  CHECK_THAT(fault(relu, [](auto& in) { in.q = in.k = in.v = at::zeros({1, 5, 2, 40}); }), ContainsSubstring("q has head dim 40, allowed: 32, 64, 96, 128"));
  CHECK_THAT(fault(relu,
                   [](auto& in) {
                     in.q = in.k = in.v = at::zeros({1, 0, 2, 32});
                   }),
             ContainsSubstring("q has shape [1, 0, 2, 32], wanted at least one sample, token and head"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.k = in.k.to(at::kHalf); }), ContainsSubstring("k is Half, wanted q's dtype Float"));
  CHECK_THAT(fault(relu,
                   [](auto& in) {
                     in.q = in.k = in.v = at::zeros({1, 5, 2, 32}, at::kInt);
                   }),
             ContainsSubstring("q is Int, allowed: Float, BFloat16, Half, Double"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.v = in.v.to(at::kMeta); }), ContainsSubstring("v is on meta, wanted q's device cpu"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.w_q.reset(); }), ContainsSubstring("w_q is missing, the feature map hedgehog wants [H, D, D] = [2, 32, 32]"));
  CHECK_THAT(fault(hedgehog,
                   [](auto& in) {
                     in.w_k = at::zeros({2, 32, 16});
                   }),
             ContainsSubstring("w_k has shape [2, 32, 16], the feature map hedgehog wants [H, D, D] = [2, 32, 32]"));
  CHECK_THAT(fault(hedgehog, [](auto& in) { in.w_k = in.w_k.to(at::kHalf); }), ContainsSubstring("w_k is Half, wanted q's dtype Float or Float"));
  CHECK_THAT(fault(taylor, [](auto&) {}), ContainsSubstring("w_q has shape [2, 32, 32], the feature map taylor2 wants [H, D, d] = [2, 32, 1..16]"));
  CHECK_THAT(fault(taylor,
                   [](auto& in) {
                     in.w_q = at::zeros({2, 32, 8});
                     in.w_k = at::zeros({2, 32, 4});
                   }),
             ContainsSubstring("w_k has shape [2, 32, 4], wanted w_q's [2, 32, 8]"));
  CHECK_THAT(fault(relu, [&](auto& in) { in.w_q = good.w_q; }), ContainsSubstring("w_q is given, but the feature map relu has no projection"));
  CHECK_THAT(fault(relu, [](auto& in) { in.num_valid = at::tensor({int64_t{5}}); }), ContainsSubstring("num_valid has shape [1], wanted [B] = [2]"));
  CHECK_THAT(fault(relu, [](auto& in) { in.num_valid = at::zeros({2}, at::kInt); }), ContainsSubstring("num_valid is Int, wanted Long"));
  CHECK_THAT(fault(relu, [](auto& in) { in.num_valid = at::tensor({int64_t{5}, int64_t{6}}); }), ContainsSubstring("num_valid[1] is 6, allowed: 0..N = 0..5"));
  CHECK_THAT(message_of([] { feature_map_of("elu"); }),
             ContainsSubstring("feature_map is \"elu\", allowed: hedgehog, softmax, elu_plus_one, relu, exp, taylor2"));
}

TEST_CASE("linear attention: check_finite names the first bad denominator, and passes good input", "[unit]") {
  LinearAttentionInputs in = attention_inputs(ReluMapConfig{}, {2, 5, 2, 32}, at::kFloat);
  LinearAttentionConfig config{ReluMapConfig{}, true};
  CHECK(at::equal(linear_attention(in, config), linear_attention(in, {ReluMapConfig{}})));
  in.q[1][3][0].fill_(std::numeric_limits<float>::infinity());
  CHECK_THAT(fault_of(in, config), ContainsSubstring("the denominator of sample 1, token 3, head 0 is ") &&
                                       ContainsSubstring(", wanted a finite number (1 of 20 are not; feature map relu)"));
  CHECK(fault_of(in, {ReluMapConfig{}}).empty());
}

TEST_CASE("linear attention: a second derivative is refused", "[unit]") {
  const LinearAttentionInputs in = attention_inputs(ReluMapConfig{}, {1, 4, 1, 32}, at::kFloat);
  in.q.requires_grad_();
  const at::Tensor out = linear_attention(in, {ReluMapConfig{}});
  CHECK_THAT(message_of([&] { torch::autograd::grad({out.sum()}, {in.q}, {}, true, /*create_graph=*/true); }),
             ContainsSubstring("there is no second derivative; call backward without create_graph"));
}

TEST_CASE("linear attention: the config reads, writes and names its maps", "[unit]") {
  LinearAttentionConfig config;
  from_json(R"({"feature_map": {"type": "taylor2", "projected_dim": 8}})", "test", config);
  REQUIRE(std::holds_alternative<Taylor2MapConfig>(config.feature_map));
  CHECK(feature_dim(config.feature_map, 64, 8) == 45);
  CHECK_THAT(to_json(config), ContainsSubstring("\"projected_dim\": 8"));
  CHECK_THAT(message_of([&] { from_json(R"({"feature_map": {"type": "taylor2", "projected_dim": 17}})", "test", config); }),
             ContainsSubstring("allowed: 1..16"));
}

TEST_CASE("linear attention: CPU autocast changes no bit of the output or of the gradients", "[unit]") {
  for (const std::string& name : feature_map_names()) {
    const FeatureMapConfig map = feature_map_of(name);
    for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
      LinearAttentionInputs in = attention_inputs(map, {2, 33, 2, 32}, dtype);
      in.num_valid = at::tensor({int64_t{33}, int64_t{20}});
      if (in.w_q.defined()) in.w_q = in.w_q.to(at::kFloat), in.w_k = in.w_k.to(at::kFloat);  // as parameters are kept under autocast
      const Run wanted = run_with_gradients(operator_of, in, map);
      const CpuAutocast autocast;
      const Run got = run_with_gradients(operator_of, in, map);
      INFO(name << " " << c10::toString(dtype));
      CHECK(got.out.scalar_type() == dtype);
      CHECK(all_equal(got, wanted));
      CHECK(fault_of(in, {map, /*check_finite=*/true}).empty());
    }
  }
}
