// Truth: trees over the closed-form mixture, whose root value and target masses are known exactly.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "align/readout.h"
#include "align/search.h"
#include "align/tree_file.h"
#include "models/closed_form.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

AlignConfig mixture_config(const MethodConfig& method, int64_t nfe) {
  AlignConfig config;
  config.run.device = "cpu";
  config.prior = GaussianMixturePriorConfig{};
  DdimConfig ddim;
  ddim.num_steps = 100;
  ddim.clip_sample = false;
  config.sampler = ddim;
  config.reward = MixtureRewardConfig{};
  config.method = method;
  config.nfe = nfe;
  return config;
}

// A search over the mixture with everything it needs.
struct MixtureSearch {
  explicit MixtureSearch(const AlignConfig& c) : config(c) {
    denoiser = load_denoiser(config.prior, config.sampler, at::kCPU);
    plan = make_plan(config, denoiser->num_levels());
    reward = make_reward(config.reward, config.prior, at::kCPU);
    executor = make_executor(denoiser, static_cast<uint64_t>(config.run.seed), config.executor);
    state = std::make_unique<SearchState>(plan, *denoiser);
  }
  void grow_to(int64_t nfe) {
    const at::NoGradGuard no_grad;
    grow(*state, plan, *executor, *reward, static_cast<uint64_t>(config.run.seed), nfe, [](const SearchState&) {});
  }
  AlignConfig config;
  std::shared_ptr<Denoiser> denoiser;
  SearchPlan plan;
  std::unique_ptr<Reward> reward;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<SearchState> state;
};

// Exact read-out mass of mode 8 (the last one).
double last_mode_mass(const MixtureSearch& search) {
  const auto weights = readout_weights(search.state->tree, search.plan.readout);
  const at::Tensor points = search.state->latents.all_on_cpu();
  const Point2 centre = ring_of_modes().means.back();
  double mass = 0;
  for (int32_t node = 0; node < search.state->tree.size(); ++node) {
    if (!search.state->tree.is_leaf(node)) continue;
    const int64_t row = search.state->tree.latent_row[node];
    const double dx = points[row][0].item<double>() - centre[0], dy = points[row][1].item<double>() - centre[1];
    if (dx * dx + dy * dy < 1.5 * 1.5) mass += weights[node];
  }
  return mass;
}

void expect_equal(const SearchState& a, const SearchState& b) {
  CHECK(a.tree.parent == b.tree.parent);
  CHECK(a.tree.value == b.tree.value);
  CHECK(a.tree.visits == b.tree.visits);
  CHECK(a.tree.num_iterations == b.tree.num_iterations);
  CHECK(a.calls.nfe == b.calls.nfe);
  CHECK(at::equal(a.latents.all_on_cpu(), b.latents.all_on_cpu()));
}

}  // namespace

TEST_CASE("unbiased trees find the mixture's root value and its heaviest mode", "[truth]") {
  double root = 0, mass = 0;
  constexpr int kSeeds = 4;
  for (int seed = 0; seed < kSeeds; ++seed) {
    AlignConfig config = mixture_config(DtsUnbiasedConfig{}, 100000);
    config.run.seed = seed;
    MixtureSearch search(config);
    search.grow_to(config.nfe);
    root += search.state->tree.value[0] / kSeeds;
    mass += last_mode_mass(search) / kSeeds;
  }
  CHECK(root == Catch::Approx(10.173).margin(0.06));  // exact; the mean of these four seeds: 10.150
  CHECK(mass == Catch::Approx(0.777).margin(0.03));
}

TEST_CASE("the literal rule settles about half a nat below the truth", "[truth]") {
  double root = 0;
  constexpr int kSeeds = 4;
  for (int seed = 0; seed < kSeeds; ++seed) {
    AlignConfig config = mixture_config(DtsConfig{}, 100000);
    config.run.seed = seed;
    MixtureSearch search(config);
    search.grow_to(config.nfe);
    root += search.state->tree.value[0] / kSeeds;
  }
  CHECK(root == Catch::Approx(9.68).margin(0.15));
}

TEST_CASE("best-of-N's log-mean-exp is an estimate of the root value too", "[truth]") {
  MixtureSearch search(mixture_config(BestOfNConfig{64}, 200000));
  search.grow_to(200000);
  CHECK(search.state->tree.value[0] == Catch::Approx(10.173).margin(0.15));
  CHECK(search.state->tree.num_leaves == 2048);  // the batch that crosses the budget finishes
}

TEST_CASE("NFE are the remaining steps of every expansion, in batches too", "[unit]") {
  for (int64_t batch : {1, 7}) {
    DtsConfig method;
    method.batch_size = batch;
    MixtureSearch search(mixture_config(method, 20000));
    search.grow_to(20000);
    const std::vector<int64_t> cost = {100, 80, 60, 40, 20};
    int64_t nfe = 0, leaves = 0;
    for (size_t d = 0; d < cost.size(); ++d) {
      nfe += search.state->expansions[d] * cost[d];
      leaves += search.state->expansions[d];
    }
    CHECK(search.state->calls.nfe == nfe);
    CHECK(search.state->tree.num_leaves == leaves);
    CHECK(search.state->reward_calls == leaves);
    CHECK(search.state->tree.num_iterations == leaves + search.state->tree.num_revisits);
    CHECK(nfe >= 20000);
    CHECK(nfe < 20000 + 100 * batch);
  }
}

TEST_CASE("a saved tree goes on as if it had never stopped", "[unit]") {
  for (const MethodConfig& method :
       {MethodConfig(DtsConfig{}), MethodConfig(DtsUnbiasedConfig{}), MethodConfig(DtsStarConfig{}), MethodConfig(BestOfNConfig{8})}) {
    MixtureSearch whole(mixture_config(method, 20000)), first(mixture_config(method, 10000)), second(mixture_config(method, 20000));
    whole.grow_to(20000);
    first.grow_to(10000);
    const test::TemporaryFolder folder;
    AnytimeCurve curve(first.plan.branch_levels), restored(first.plan.branch_levels);
    curve.add(curve_point(*first.state, first.plan, 0, 64));
    save_tree(folder / "tree.h5", *first.state, first.plan, curve, /*latents=*/true);
    load_tree(folder / "tree.h5", *second.state, second.plan, restored);
    expect_equal(*first.state, *second.state);
    CHECK(restored.flat() == curve.flat());
    second.grow_to(20000);
    expect_equal(*whole.state, *second.state);
  }
}

TEST_CASE("a tree of another method, or without latents, does not go on", "[unit]") {
  MixtureSearch dts(mixture_config(DtsConfig{}, 2000)), star(mixture_config(DtsStarConfig{}, 2000));
  dts.grow_to(2000);
  const test::TemporaryFolder folder;
  AnytimeCurve curve(dts.plan.branch_levels);
  save_tree(folder / "tree.h5", *dts.state, dts.plan, curve, true);
  CHECK_THAT(test::message_of([&] { load_tree(folder / "tree.h5", *star.state, star.plan, curve); }),
             ContainsSubstring("holds a dts tree") && ContainsSubstring("dts_star"));
  save_tree(folder / "tree.h5", *dts.state, dts.plan, curve, false);
  MixtureSearch again(mixture_config(DtsConfig{}, 2000));
  CHECK_THAT(test::message_of([&] { load_tree(folder / "tree.h5", *again.state, again.plan, curve); }), ContainsSubstring("has no latents"));
}

TEST_CASE("a reward that is not a number names the node and leaves the tree as it was", "[unit]") {
  class Poisoned final : public Reward {
   public:
    at::Tensor evaluate(const at::Tensor& samples) override {
      at::Tensor value = at::zeros({samples.size(0)}, at::kDouble);
      if (++calls == 4) value[1] = std::nan("");
      return value;
    }
    std::string description() const override { return "poisoned"; }
    int calls = 0;
  };
  DtsConfig method;
  method.batch_size = 5;
  MixtureSearch search(mixture_config(method, 100000)), clean(mixture_config(method, 100000));
  Poisoned reward;
  const at::NoGradGuard no_grad;
  const std::string message = test::message_of([&] { grow(*search.state, search.plan, *search.executor, reward, 0, 100000, [](const SearchState&) {}); });
  CHECK_THAT(message, ContainsSubstring("the reward (poisoned) of node") && ContainsSubstring("is nan") && ContainsSubstring("leaf of iteration 16"));
  CHECK(search.state->tree.num_leaves == 15);
  CHECK(search.state->tree.size() == 1 + 15 * 5);
  for (uint8_t open : search.state->tree.open) CHECK(open == 0);
  CHECK(search.state->tree.num_iterations == 15);
  CHECK(search.state->latents.size() == 15 * 5);
}

TEST_CASE("endless revisits of old leaves stop the search", "[unit]") {
  DtsStarConfig method;
  method.widening = {1.0, 0.01};  // one child a node: every descent after the first ends in the same leaf
  method.max_free_revisits = 50;
  MixtureSearch search(mixture_config(method, 100000));
  const at::NoGradGuard no_grad;
  CHECK(grow(*search.state, search.plan, *search.executor, *search.reward, 0, 100000, [](const SearchState&) {}) == StopReason::kFreeRevisits);
  CHECK(search.state->tree.num_revisits >= 50);
}

TEST_CASE("plans that cannot work are refused with the way out", "[unit]") {
  const auto plan_error = [](const AlignConfig& config) { return test::message_of([&] { make_plan(config, 100); }); };
  CHECK_THAT(plan_error(mixture_config(DtsConfig{}, 99)), ContainsSubstring("nfe is 99, below one trajectory of 100 steps"));
  DtsConfig method;
  method.branch_at = {100, 101};
  CHECK_THAT(plan_error(mixture_config(method, 1000)), ContainsSubstring("method.branch_at has 101, which is off the sampler's grid of 100 steps"));
  method.branch_at = {100, 40, 60};
  CHECK_THAT(plan_error(mixture_config(method, 1000)), ContainsSubstring("must fall: 60 comes after 40"));
  method.branch_at = {80, 40};
  CHECK_THAT(plan_error(mixture_config(method, 1000)), ContainsSubstring("starts with 80, but the root always branches"));
  AlignConfig groups = mixture_config(BestOfNConfig{}, 1000);
  groups.num_samples = 64;
  CHECK_THAT(plan_error(groups), ContainsSubstring("only 10 trajectories") && ContainsSubstring("raise nfe to at least 6400"));
}

TEST_CASE("rewards that do not fit are refused", "[unit]") {
  ClassifierRewardConfig both;
  both.digit = 3;
  both.digits = {1, 2};
  CHECK_THAT(test::message_of([&] { asked_classes(both); }), ContainsSubstring("names both digit and digits"));
  CHECK_THAT(test::message_of([&] { asked_classes(ClassifierRewardConfig{}); }), ContainsSubstring("names no class"));
  MixtureRewardConfig seven;
  seven.num_modes = 7;
  CHECK_THAT(test::message_of([&] { make_reward(seven, GaussianMixturePriorConfig{}, at::kCPU); }),
             ContainsSubstring("has 7 modes") && ContainsSubstring("make them equal"));
  CHECK_THAT(test::message_of([&] { make_reward(MixtureRewardConfig{}, CheckerboardPriorConfig{}, at::kCPU); }),
             ContainsSubstring("needs a prior of 2-D mixture points"));
}

TEST_CASE("the Tweedie estimate's relative bias is the known one", "[truth]") {
  // (r(x0_hat) - V) / V weighted by the target, at noise levels t of the toy schedule.
  const NoiseSchedule schedule(toy_schedule());
  GaussianMixture prior(ring_of_modes(), schedule.alpha_bar);
  const MixtureReward reward(ring_of_modes());
  const at::NoGradGuard no_grad;
  const at::Tensor clean = reward.sample_target(4000, 1).to(at::kDouble);
  const std::vector<std::pair<int64_t, double>> expected = {{0, 0.0}, {20, -0.001}, {40, -0.029}, {60, -0.105}, {80, -0.189}};
  for (const auto& [t, bias] : expected) {
    const double a = schedule.alpha_bar[t];
    const at::Tensor noise = at::randn(clean.sizes(), at::make_generator<at::CPUGeneratorImpl>(7), at::kDouble);
    const at::Tensor x = std::sqrt(a) * clean + std::sqrt(1 - a) * noise;
    const at::Tensor eps = prior.predict_noise(x, at::full({x.size(0)}, t, at::kLong));
    const at::Tensor tweedie = (x - std::sqrt(1 - a) * eps) / std::sqrt(a);
    const at::Tensor value = reward.soft_value(x, a);
    CHECK(((reward(tweedie) - value) / value).mean().item<double>() == Catch::Approx(bias).margin(0.015));
  }
}
