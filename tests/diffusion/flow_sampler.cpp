// The flow samplers and their noise levels against the reference, and against the exact flow of Gaussian data.
#include "diffusion/flow_sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>

#include "core/error.h"
#include "io/safetensors.h"
#include "tests/diffusion/gaussian_flow.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;

namespace {

struct GoldenCase {
  FlowSamplerConfig sampler;
};
void visit_fields(FieldVisitor& v, GoldenCase& c) { visit(v, Field("sampler", ""), c.sampler); }

FlowSamplerConfig read_sampler(const std::string& text) {
  GoldenCase settings;
  from_json(text, "sampler.json", settings);
  return settings.sampler;
}

at::Tensor golden_velocity(const at::Tensor& x, double sigma) { return 0.8 * x - at::cos(2 * x + 3 * sigma); }
double max_error(const at::Tensor& got, const at::Tensor& wanted) { return (got - wanted).abs().max().item<double>(); }
at::Tensor row(const std::vector<float>& values) { return at::tensor(values); }

struct Errors {
  double sigma = 0, timestep = 0, sample = 0;
  int cases = 0;
};

void compare(const FlowSampler& sampler, const SafetensorsFile& golden, const std::string& name, Errors& errors) {
  const at::Tensor samples = golden.tensor(name + "/samples"), noise = sampler.stochastic() ? golden.tensor(name + "/noise") : at::Tensor();
  REQUIRE(samples.size(0) == sampler.num_steps() + 1);
  errors.sigma = std::max(errors.sigma, max_error(row(sampler.schedule().sigma), golden.tensor(name + "/sigmas")));
  errors.timestep = std::max(errors.timestep, max_error(row(sampler.schedule().timestep), golden.tensor(name + "/timesteps")));
  at::Tensor x = samples[0];
  FlowHistory history;
  for (int64_t i = 0; i < sampler.num_steps(); ++i) {
    const double sigma = sampler.schedule().sigma[static_cast<size_t>(i)];
    const FlowStep step = sampler.step(history, x, golden_velocity(x, sigma), sampler.stochastic() ? noise[i] : at::Tensor());
    x = step.next;
    history = step.history;
    errors.sample = std::max(errors.sample, max_error(x, samples[i + 1]));
  }
  ++errors.cases;
}

double gaussian_error(const FlowSamplerConfig& config) {
  const test::GaussianFlow data;
  const FlowSampler sampler(config);
  const at::Tensor end = test::run_flow(
      sampler, at::full({1, 1}, 0.7, at::kDouble), [&](const auto& x, double sigma) { return data.velocity(x, sigma); },
      [](const auto&) { return at::Tensor(); });
  return std::abs(end.item<double>() - data.exact_end(0.7, sampler.schedule().sigma[0]));
}

}  // namespace

TEST_CASE("flow samplers: levels, timesteps and every step equal the reference's", "[golden]") {
  const SafetensorsFile golden("tests/golden/diffusion/flow_steps.safetensors");
  std::map<std::string, Errors> errors;  // by convention and sampler
  for (const auto& [name, text] : golden.metadata()) {
    if (!golden.contains(name + "/sigmas")) continue;
    compare(FlowSampler(read_sampler(text)), golden, name, errors[name.substr(0, name.find('.', name.find('.') + 1))]);
  }
  CHECK(errors.size() == 8);
  for (const auto& [kind, error] : errors) {
    INFO(kind << ", " << error.cases << " cases");
    CHECK(error.cases >= 2);
    CHECK(error.sigma <= 6e-8);  // one spacing of fp32 below 1
    CHECK(error.timestep == 0.0);
    CHECK(error.sample <= 2e-6);  // of values up to 2; rounding accumulates over 50 steps
  }
}

TEST_CASE("flow samplers: Wan's published noise levels", "[golden]") {
  const auto sigma = [](double shift) { return make_flow_schedule({50, shift, "wan"}, FlowSpacing::kUniPC).sigma; };
  const std::vector<float> three = sigma(3), five = sigma(5), eight = sigma(8);
  const auto close = [](float got, double wanted) { CHECK(got == Catch::Approx(wanted).margin(6e-7)); };
  close(three[0], .999666), close(three[1], .992907), close(three[3], .978826), close(three[47], .160571), close(three[49], .057637);
  close(five[0], .999800), close(five[1], .995732), close(five[2], .991530), close(five[48], .172265), close(five[49], .092507);
  close(eight[0], .999875), close(eight[1], .997328), close(eight[49], .140228);
  CHECK(five[50] == 0.0f);
}

TEST_CASE("flow samplers: error against the exact flow of Gaussian data", "[truth]") {
  const std::vector<int64_t> steps = {10, 20, 50, 100};
  const std::vector<double> unipc = {0.121, 0.040, 0.0005, 0.0013}, euler = {0.134, 0.071, 0.030, 0.015};
  for (size_t k = 0; k < steps.size(); ++k) {
    INFO(steps[k] << " steps");
    CHECK(gaussian_error(FlowUniPCConfig{{steps[k], 5.0, "wan"}, 2}) == Catch::Approx(unipc[k]).margin(k < 2 ? 6e-4 : 6e-5));
    CHECK(gaussian_error(FlowEulerConfig{{steps[k], 5.0, "wan"}}) == Catch::Approx(euler[k]).margin(6e-4));
  }
  // An order of accuracy: four times the steps.
  CHECK(gaussian_error(FlowEulerConfig{{400, 1.0, "wan"}}) < 0.3 * gaussian_error(FlowEulerConfig{{100, 1.0, "wan"}}));
  CHECK(gaussian_error(FlowDpmppConfig{{400, 1.0, "wan"}}) < 0.1 * gaussian_error(FlowDpmppConfig{{100, 1.0, "wan"}}));
  CHECK(gaussian_error(FlowUniPCConfig{{400, 1.0, "wan"}, 2}) < 0.1 * gaussian_error(FlowUniPCConfig{{100, 1.0, "wan"}, 2}));
}

TEST_CASE("flow samplers: the last step returns the predicted clean sample", "[unit]") {
  const at::Tensor x = at::randn({2, 3}), u = at::randn({2, 3});
  for (const FlowSamplerConfig& config : {FlowSamplerConfig(FlowEulerConfig{{1}}), FlowSamplerConfig(FlowUniPCConfig{{1}, 2}),
                                          FlowSamplerConfig(FlowDpmppConfig{{1}}), FlowSamplerConfig(FlowSdeConfig{{1}})}) {
    const FlowStep step = FlowSampler(config).step({}, x, u);
    CHECK(at::equal(step.predicted_clean, x - FlowSampler(config).schedule().sigma[0] * u));
    CHECK(max_error(step.next, step.predicted_clean) <= 1e-6);
    CHECK(step.deviation == 0.0);
  }
}

TEST_CASE("flow samplers: a step changes neither its history nor its input", "[unit]") {
  const FlowSampler sampler(FlowUniPCConfig{{6}, 2});
  const at::Tensor x = at::randn({2, 3}), u = at::randn({2, 3}), copy = x.clone();
  const FlowStep first = sampler.step({}, x, u), second = sampler.step(first.history, first.next, u);
  CHECK(at::equal(second.next, sampler.step(first.history, first.next, u).next));
  CHECK(at::equal(x, copy));
  CHECK(second.history.step == 2);
  CHECK(second.history.order == 2);
}

TEST_CASE("flow samplers: a config round-trips, and what it gets wrong is said", "[unit]") {
  GoldenCase settings{FlowUniPCConfig{{7, 8.0, "wan"}, 1}};
  const FlowSamplerConfig again = read_sampler(to_json(settings));
  REQUIRE(std::holds_alternative<FlowUniPCConfig>(again));
  CHECK(std::get<FlowUniPCConfig>(again).shift == 8.0);
  CHECK(std::get<FlowUniPCConfig>(again).order == 1);
  const auto error_of = [](const std::string& keys) { return test::message_of([&] { read_sampler("{\"sampler\": {" + keys + "}}"); }); };
  CHECK_THAT(error_of(R"("type": "euler", "num_steps": 0)"), ContainsSubstring("sampler.num_steps is 0 (allowed:"));
  CHECK_THAT(error_of(R"("type": "euler", "shift": 0)"), ContainsSubstring("sampler.shift is 0 (allowed: above 0)"));
  CHECK_THAT(error_of(R"("type": "unipc", "order": 3)"), ContainsSubstring("sampler.order is 3 (allowed: 1..2)"));
  CHECK_THAT(error_of(R"("type": "unipc", "sigma_convention": "wann")"), ContainsSubstring("allowed: diffusers, wan; did you mean \"wan\""));
  CHECK_THAT(error_of(R"("type": "unipcc")"), ContainsSubstring("allowed: euler, unipc, dpmpp_2m, flow_sde; did you mean \"unipc\""));
  CHECK_THAT(error_of(R"("type": "flow_sde", "eta": 1.5)"), ContainsSubstring("sampler.eta is 1.5 (allowed: 0..1)"));
}

TEST_CASE("flow samplers: a caller's mistake is said", "[unit]") {
  const auto message = [](const FlowSamplerConfig& config) { return test::message_of([&] { FlowSampler sampler(config); }); };
  CHECK(message(FlowEulerConfig{{0}}) == "flow schedule: num_steps is 0, wanted at least 1");
  CHECK(message(FlowEulerConfig{{4, -2.0}}) == "flow schedule: shift is -2, wanted a number above 0");
  CHECK(message(FlowEulerConfig{{4, 5.0, "flux"}}) == "flow schedule: sigma_convention is 'flux', wanted 'diffusers' or 'wan'");
  CHECK(message(FlowUniPCConfig{{4}, 3}) == "unipc: order is 3, wanted 1 or 2");
  CHECK(message(FlowSdeConfig{{4}, 2.0}) == "flow_sde: eta is 2, wanted 0..1");
  CHECK(message(FlowSdeConfig{{4}, 1.0, "fresh"}) == "flow_sde: noise is 'fresh', wanted 'renoise' or 'ancestral'");
  CHECK_THROWS_AS(FlowSampler(FlowEulerConfig{{0}}), CheckError);
  const FlowSampler sampler(FlowEulerConfig{{4}});
  const at::Tensor x = at::zeros({2, 3});
  FlowHistory over;
  over.step = 4;
  CHECK(test::message_of([&] { sampler.step(over, x, x); }) == "flow sampler: step 4 of 4 steps (allowed 0..3)");
  CHECK(test::message_of([&] { sampler.step({}, x, at::zeros({2, 2})); }) == "flow sampler: x has 6 elements, velocity 4; wanted one shape");
  CHECK(test::message_of([&] { sampler.step({}, x, x.to(at::kBFloat16)); }) ==
        "flow sampler: x is Float and velocity BFloat16; wanted both Float or both Double");
  FlowHistory lost;
  lost.step = 2;
  for (const FlowSamplerConfig& config : {FlowSamplerConfig(FlowUniPCConfig{{4}, 2}), FlowSamplerConfig(FlowDpmppConfig{{4}})}) {
    CHECK(test::message_of([&] { FlowSampler(config).step(lost, x, x); }) == "flow sampler: step 2 needs the history of the step before, but it is empty");
  }
  CHECK_THAT(test::message_of([&] { FlowSampler(FlowSdeConfig{{4}}).step({}, x, x); }), ContainsSubstring("flow_sde: step 0 has deviation"));
}
