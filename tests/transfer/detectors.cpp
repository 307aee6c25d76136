// Series that go wrong in one way each: what is said, when, and how often.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "tests/support/support.h"
#include "transfer/detectors.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Said {
  int64_t step;
  Finding finding;
};

// Feeds rows every 50 steps; `row` fills in what the series is about.
template <class Row>
std::vector<Said> watch(Detectors& detectors, int64_t first, int64_t last, Row&& row) {
  std::vector<Said> said;
  for (int64_t step = first; step <= last; step += 50) {
    Observation o;
    o.step = step;
    o.loss = 0.1;
    o.velocity_error = 0.01;
    o.gradient_norm = 0.5;
    row(o);
    for (const Finding& finding : detectors.observe(o)) said.push_back({step, finding});
  }
  return said;
}

GateConfig gates(int64_t num_linear = 5, double learning_rate = 3e-3) {
  GateConfig config;
  config.num_linear = num_linear;
  config.learning_rate = learning_rate;
  return config;
}

TEST_CASE("a run that goes well is not commented on", "[unit]") {
  Detectors detectors({}, gates());
  const auto said = watch(detectors, 50, 3000, [](Observation& o) {
    const double part = static_cast<double>(o.step) / 1800;
    o.velocity_error = o.step < 1800 ? 1e-6 + 0.03 * part : 0.048 * std::exp(-(part - 1));  // rises from rounding noise, jumps, falls
    o.steps_until_commit = std::max<int64_t>(0, 1800 - o.step);
    if (o.steps_until_commit > 0)
      for (int layer = 0; layer < 10; ++layer) o.r.push_back(layer % 2 ? std::max(0.0, 1 - part * 1.3) : 0.98);
    o.student_deviation = 0.4;
    o.teacher_deviation = 0.45;
  });
  CHECK(said.empty());
}

TEST_CASE("a number that is not finite stops the run", "[unit]") {
  DetectorConfig config;
  config.stop = false;  // even so
  Detectors detectors(config, gates());
  const auto said = watch(detectors, 50, 200, [](Observation& o) {
    if (o.step == 200) o.loss = std::numeric_limits<double>::quiet_NaN(), o.gradient_norm = std::numeric_limits<double>::infinity();
  });
  REQUIRE(said.size() == 1);
  CHECK(said[0].finding.level == Level::kStop);
  CHECK(said[0].finding.detector == "nonfinite");
  CHECK_THAT(said[0].finding.text, ContainsSubstring("at step 200 the loss is nan (and 1 more of this row); the last finite row is step 150"));
  CHECK_THAT(said[0].finding.text, ContainsSubstring("lower optimizer.learning_rate"));
  Detectors fresh({}, gates());
  const auto first = watch(fresh, 50, 50, [](Observation& o) { o.student_deviation = std::numeric_limits<double>::infinity(); });
  CHECK_THAT(first.at(0).finding.text, ContainsSubstring("at step 50 the standard deviation of the student's clips is inf; no row before was finite"));
}

TEST_CASE("a velocity error that grows warns, then stops", "[unit]") {
  const auto grows = [](Observation& o) {
    o.velocity_error = o.step <= 300 ? 0.05 - 1e-4 * static_cast<double>(o.step) : 0.02 * std::pow(2.0, static_cast<double>(o.step - 300) / 50);
  };
  Detectors detectors({}, gates());
  auto said = watch(detectors, 50, 1000, grows);
  REQUIRE(said.size() >= 2);
  CHECK(said[0].finding.level == Level::kWarning);
  CHECK(said[0].finding.detector == "divergence");
  CHECK_THAT(said[0].finding.text, ContainsSubstring(fmt::format("the transfer diverges: at step {} the smoothed velocity error is", said[0].step)));
  CHECK_THAT(said[0].finding.text, ContainsSubstring("its best was 0.02") && ContainsSubstring("at step 300") && ContainsSubstring("allowed 5 times that"));
  CHECK(said[1].step == said[0].step + 100);  // patience: the third row
  CHECK(said[1].finding.level == Level::kStop);
  CHECK_THAT(said[1].finding.text, ContainsSubstring(fmt::format("above since step {}", said[0].step)) && ContainsSubstring("Stopped after 3 log rows"));
  DetectorConfig config;
  config.stop = false;
  Detectors patient(config, gates());
  said = watch(patient, 50, 1000, grows);
  REQUIRE(said.size() == 1);
  CHECK(said[0].finding.level == Level::kWarning);
  // It ends and begins again: said again.
  watch(patient, 1050, 2000, [](Observation& o) { o.velocity_error = 0.01; });
  CHECK(watch(patient, 2050, 2500, [](Observation& o) { o.velocity_error = 50; }).size() == 1);
}

TEST_CASE("the commit's jump is no divergence, a growth after it is", "[unit]") {
  Detectors detectors({}, gates());
  auto said = watch(detectors, 50, 1200, [](Observation& o) {
    o.steps_until_commit = std::max<int64_t>(0, 600 - o.step);
    if (o.steps_until_commit > 0) o.r = {0, 0, 0, 0, 0, 1, 1};
    o.velocity_error = o.step < 600 ? 0.001 : 0.2;
  });
  CHECK(said.empty());
  said = watch(detectors, 1250, 2000, [](Observation& o) { o.velocity_error = 1.5; });
  CHECK(!said.empty());
}

TEST_CASE("clips that lose their variance, or explode, warn and then stop", "[unit]") {
  Detectors detectors({}, gates());
  auto said = watch(detectors, 50, 900, [](Observation& o) {
    if (o.step % 100) return;  // clips are drawn every 100 steps only
    o.teacher_deviation = 0.5;
    o.student_deviation = o.step < 500 ? 0.5 : 0.2;
  });
  REQUIRE(said.size() >= 2);
  CHECK(said[0].step == 500);
  CHECK(said[0].finding.level == Level::kWarning);
  CHECK_THAT(said[0].finding.text,
             ContainsSubstring("the student's clips lose their variance: at step 500 their standard deviation is 0.2, the teacher's 0.5: a ratio "
                               "of 0.4 (allowed 0.5 to 2); since step 500"));
  CHECK(said[1].step == 700);
  CHECK(said[1].finding.level == Level::kStop);
  CHECK_THAT(said[1].finding.text, ContainsSubstring("since step 500"));
  Detectors others({}, gates());
  said = watch(others, 50, 50, [](Observation& o) { o.teacher_deviation = 0.5, o.student_deviation = 4; });
  CHECK_THAT(said.at(0).finding.text, ContainsSubstring("the student's clips explode") && ContainsSubstring("a ratio of 8"));
}

TEST_CASE("gates that no speed brings down in time are named at the first row", "[unit]") {
  Detectors slow({}, gates(5, 3e-5));
  const auto rows = [](Observation& o) {
    o.steps_until_commit = 2000 - o.step;
    o.r.assign(10, 0.99);
    o.r[0] = 0.4;
  };
  auto said = watch(slow, 50, 500, rows);
  REQUIRE(said.size() == 1);
  CHECK(said[0].step == 50);
  CHECK(said[0].finding.detector == "reach");
  CHECK_THAT(said[0].finding.text,
             ContainsSubstring("cannot reach 5 linear layers before the commit: at step 50 1 have r <= 0.5 and the 5 smallest scores go up to 0.99, so one "
                               "must still fall by 0.49; in the 1950 steps left r moves by at most 0.0585 (3e-05 a step"));
  CHECK_THAT(said[0].finding.text, ContainsSubstring("Raise gates.learning_rate above 8.4 times its value"));
  // The rectified sigmoid is slower by 0.3.
  GateConfig sigmoid = gates(5, 4e-4);
  Detectors raw({}, sigmoid);
  CHECK(watch(raw, 50, 50, rows).empty());
  sigmoid.parametrisation = "sigmoid";
  CHECK(largest_gate_step(sigmoid) == 0.3 * 4e-4);
  Detectors rectified({}, sigmoid);
  CHECK(watch(rectified, 50, 50, rows).size() == 1);
}

TEST_CASE("gates that are too slow at their own speed are named after the grace", "[unit]") {
  Detectors detectors({}, gates(4));
  const auto said = watch(detectors, 50, 1500, [](Observation& o) {
    o.steps_until_commit = 2000 - o.step;
    const double step = static_cast<double>(o.step);
    o.r = {1 - step / 1600, 1 - step / 1700, 1 - step / 10000, 1 - step / 10000, 0.99, 0.99};  // two in time, four not
    for (double& r : o.r) r = std::max(r, 0.0);
  });
  REQUIRE(!said.empty());
  CHECK(said[0].step == 700);  // 0.3 of 2000, and the third row
  CHECK(said[0].finding.level == Level::kWarning);
  CHECK_THAT(said[0].finding.text, ContainsSubstring("the gates are too slow: at step 700 0 layers have r <= 0.5"));
  CHECK_THAT(said[0].finding.text,
             ContainsSubstring("at their speed of the last 250 steps it will be 2 of the wanted 4 at the commit in 1300 steps; so since step 600"));
  CHECK_THAT(said[0].finding.text, ContainsSubstring("would round the other 2 at once"));
  for (const Said& s : said) CHECK(s.finding.level == Level::kWarning);
}

TEST_CASE("gates that are undecided near the commit are named once", "[unit]") {
  Detectors detectors({}, gates(2));
  const auto said = watch(detectors, 50, 950, [](Observation& o) {
    o.steps_until_commit = 1000 - o.step;
    o.r = {0.4, 0.45, 0.6, 1.0};
  });
  REQUIRE(said.size() == 1);
  CHECK(said[0].step == 850);
  CHECK(said[0].finding.detector == "undecided");
  CHECK_THAT(said[0].finding.text,
             ContainsSubstring("at step 850, 150 steps before the commit, the mean distance of r to 0 or 1 is 0.312 (allowed 0.1) and 3 of 4 layers lie "
                               "between 0.1 and 0.9") &&
                 ContainsSubstring("Raise gates.regulariser_weight"));
  Detectors crowd({}, gates(2));
  const auto as_one = watch(crowd, 50, 950, [](Observation& o) {
    o.steps_until_commit = 1000 - o.step;
    o.r = {0.5, 0.49, 0.51, 0.5};
  });
  REQUIRE(as_one.size() == 1);
  CHECK_THAT(as_one[0].finding.text, ContainsSubstring("All scores move as one (they span 0.02)") && ContainsSubstring("Lower gates.constraint_weight"));
}

TEST_CASE("detectors go on from a stored state as if nothing had happened", "[unit]") {
  const auto series = [](Observation& o) {
    o.steps_until_commit = std::max<int64_t>(0, 1000 - o.step);
    const double step = static_cast<double>(o.step);
    if (o.steps_until_commit > 0) o.r = {1 - step / 3000, 1 - step / 2900, 0.99 + 1e-3 * std::sin(step)};
    o.velocity_error = 0.1 / 3 * (1 + step / 200 + std::sin(step));
    if (o.step % 100 == 0) o.student_deviation = 0.7 / 3 + 0.1 * std::sin(step), o.teacher_deviation = 0.5;
  };
  DetectorConfig config;
  config.patience = 4;
  for (const int64_t cut : {200, 550, 850, 1000, 1400}) {
    Detectors whole(config, gates(2)), first(config, gates(2)), second(config, gates(2));
    const auto all = watch(whole, 50, 2000, series);
    auto parts = watch(first, 50, cut, series);
    DetectorState read;
    from_json(to_json(first.state()), "state", read);
    second.restore(read);
    const auto rest = watch(second, cut + 50, 2000, series);
    parts.insert(parts.end(), rest.begin(), rest.end());
    REQUIRE(parts.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      CHECK(parts[i].step == all[i].step);
      CHECK(parts[i].finding.text == all[i].finding.text);
    }
    CHECK(to_json(second.state()) == to_json(whole.state()));
  }
}

}  // namespace
}  // namespace linden
