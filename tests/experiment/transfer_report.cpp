// A transfer's run folder, made by hand, as a report.
#include "experiment/transfer_report.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <fstream>
#include <set>

#include "core/files.h"
#include "experiment/transfer_figures.h"
#include "tests/support/support.h"
#include "transfer/strip.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr int64_t kSteps = 3000, kCommit = 1800;
const std::set<int64_t> kLinear = {1, 2, 3, 4, 5, 6, 9, 10, 11, 14, 17, 22};

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

void write_rows(const std::filesystem::path& folder, int64_t num_layers, int64_t last_step) {
  LayerLog log(folder);
  for (int64_t step = 50; step <= last_step; step += 50) {
    const double time = static_cast<double>(step) / kCommit;
    std::vector<LayerRow> rows;
    for (int64_t layer = 0; layer < num_layers && step < kCommit; ++layer) {
      const double depth = static_cast<double>(layer) / static_cast<double>(num_layers);
      const double r = kLinear.contains(layer) ? 1 / (1 + std::exp(12 * (time - 0.35 - 0.3 * depth))) : 1 - 0.4 * time * (1 - time) * (1 + std::sin(7 * depth));
      rows.push_back({step, layer, r, -1e-3 * std::exp(4 * depth) * (1.2 - r) * (1.3 + std::sin(step * (layer + 1.0))),
                      0.02 * std::max(0.0, 12 - 14 * time) + 1e-3, -0.2 * std::pow(std::abs(2 * r - 1), 5)});
    }
    log.layers(rows);
    SigmaBins bins;
    for (int k = 0; k < 8; ++k) {
      bins.low.push_back(k / 8.0);
      bins.high.push_back((k + 1) / 8.0);
      bins.count.push_back(k == 0 && step % 200 == 0 ? 0 : 32);
      bins.mean.push_back(bins.count.back() ? 2e-4 * std::exp(-0.3 * k) * (step <= kCommit ? 1 + 20 * time * time : 300 * std::exp(-(time - 1) * 2))
                                            : std::nan(""));
    }
    log.bins(step, bins);
  }
  if (last_step >= 1600) log.message(1600, "warning", "the gates are undecided: 3 of 24 layers <lie> between 0.1 and 0.9");
}

void write_metrics(const std::filesystem::path& folder, int64_t last_step) {
  std::string text = "step,loss,matching_loss,constraint_loss,velocity_error,gradient_norm\n";
  for (int64_t step = 50; step <= last_step; step += 50) {
    const double time = static_cast<double>(step) / kCommit, matching = 0.02 * std::exp(-time) + (step < kCommit ? 0 : 0.1 * std::exp(-3 * (time - 1)));
    const double constraint = step < kCommit ? 1.44 * std::exp(-4 * time) : 0;
    text += fmt::format("{},{},{},{},{},{}\n", step, matching + constraint, matching, constraint, 0.3 * matching, 0.4 + 0.1 * std::sin(step));
  }
  write_file_atomically(folder / "metrics.csv", text + "3050,0.0");  // a kill cut this
}

// Clips of a bright square that wanders.
at::Tensor clips(double blur) {
  at::Tensor video = at::full({3, 1, 8, 32, 32}, -0.8);
  for (int64_t b = 0; b < 3; ++b)
    for (int64_t f = 0; f < 8; ++f) video[b][0][f].narrow(0, 3 * f % 20, 10).narrow(1, (5 * b + 2 * f) % 20, 10).fill_(0.9 - blur);
  return video;
}

void write_run(const std::filesystem::path& folder, int64_t num_layers = 24) {
  write_rows(folder, num_layers, kSteps);
  write_metrics(folder, kSteps);
  write_file_atomically(folder / "command.json", R"({"command": "transfer", "command_lines": ["linden transfer"], "started": ["now"], "seconds": [1]})");
  write_file_atomically(folder / "config.json", R"({"steps": 3000, "gates": {"num_linear": 12, "selection": "learned", "commit_at": 0.6}})");
  write_file_atomically(
      folder / "summary.json",
      R"({"command": "transfer", "run": "/somewhere", "wall_seconds": 12.5, "num_linear": 12, "linear_layers": [1,2,3,4,5,6,9,10,11,14,17,22],)"
      R"( "gap_before_commit": 0.0012, "gap_after_commit": 0.048, "teacher": {"success": 0.965}, "student": {"success": 0.941}})");
  for (const int64_t step : {0, 500, 1000, 1500, 2000, 2500, 3000}) write_strip(folder, step, clips(0), clips(0.2 + 1e-4 * static_cast<double>(step)));
  for (const char* name : {"teacher.apng", "before.apng", "after.apng"}) write_moving_clips(folder / name, clips(0), clips(0));
}

TEST_CASE("a transfer's report has its curves, clips, messages and numbers", "[unit]") {
  const test::TemporaryFolder folder;
  write_run(folder.path);
  CHECK(is_transfer_run(folder.path));
  const auto file = write_transfer_report(folder.path);
  CHECK(file == folder / "report.html");
  const std::string html = read_text_file(file);
  for (const char* title : {"Score r of each layer", "Which layers became linear", "Size of the gradients by r", "Parts of the loss",
                            "Velocity error by time of the trajectory", "Velocity error against sigma"})
    CHECK_THAT(html, ContainsSubstring(title));
  CHECK_THAT(html, ContainsSubstring("12 of 24 layers: 1, 2, 3, 4, 5, 6, 9, 10, 11, 14, 17, 22."));
  CHECK_THAT(html, ContainsSubstring(">commit 1800<"));
  CHECK_THAT(html, ContainsSubstring("before the commit, 1800") && ContainsSubstring("after it, 1850"));
  CHECK_THAT(html, ContainsSubstring("Step 1600, warning: the gates are undecided: 3 of 24 layers &lt;lie&gt;"));
  CHECK_THAT(html, ContainsSubstring("gap_after_commit") && ContainsSubstring("0.0480"));
  CHECK_THAT(html, ContainsSubstring(">0.965<") && ContainsSubstring(">0.941<"));
  CHECK(count(html, ">Step 0<") == 1);
  CHECK(count(html, ">Step 3000<") == 2);  // the strip and the moving one
  CHECK(count(html, "data:image/png;base64,") == 6 + 3 + 1);
  CHECK_THAT(html, ContainsSubstring("6 of 7 strips are shown"));
  CHECK(count(html, "What could not be shown") == 0);
  CHECK(count(html, "Wan 2.1") == 0);
  CHECK(count(html, folder.path.parent_path().string() + "/") == 0);  // no place of this machine
  write_transfer_report(folder.path);
  CHECK(read_text_file(file) == html);
}

TEST_CASE("the curves of the scores are one a layer", "[unit]") {
  const test::TemporaryFolder folder;
  write_rows(folder.path, 24, kSteps);
  const auto rows = read_layer_rows(folder / "layers.csv");
  CurveFigure figure = scores_figure(rows, 24, kCommit);
  REQUIRE(figure.curves.size() == 24);
  CHECK(figure.colour_bar.high == "23");
  std::set<std::string> colours;
  for (const Curve& curve : figure.curves) {
    CHECK(curve.label.empty());
    CHECK(curve.x.size() == 35);  // up to the commit
    colours.insert(curve.colour);
  }
  CHECK(colours.size() == 24);
  CHECK(figure.vertical_lines.at(0) == std::pair<std::string, double>("commit 1800", 1800));
  std::vector<LayerRow> few;
  for (const LayerRow& row : rows)
    if (row.layer < 3) few.push_back(row);
  figure = scores_figure(few, 3, std::nullopt);
  CHECK(figure.curves.at(2).label == "layer 2");
  CHECK(!figure.colour_bar.shown());
  CHECK(figure.vertical_lines.empty());
  CHECK(gate_gradient_figure(few, 3, std::nullopt).curves.size() == 5);
  CHECK(gate_gradient_figure(few, 3, std::nullopt).curves[3].y[0] == Catch::Approx(few[0].grad_constraint));
}

TEST_CASE("a long run's error map averages neighbouring rows", "[unit]") {
  std::vector<BinRow> rows;
  for (int64_t step = 1; step <= 1000; ++step)
    for (int k = 0; k < 2; ++k) rows.push_back({step, k / 2.0, (k + 1) / 2.0, static_cast<double>(step), k ? 3 : 0});
  const HeatMapFigure figure = gap_map_figure(rows, std::nullopt);
  REQUIRE(figure.x.size() == 143);  // 7 steps a column
  CHECK(figure.x[0] == 4);
  CHECK(figure.values.at(1)[0] == 4);
  CHECK(std::isnan(figure.values.at(0)[0]));
  CHECK(figure.y.at(1) == std::pair<double, double>(0.5, 1));
}

TEST_CASE("an unfinished or damaged transfer is reported with what is there", "[unit]") {
  const test::TemporaryFolder folder, empty;
  write_rows(folder.path, 30, 900);
  write_file_atomically(folder / "bins.csv", "step,what\n1,2\n");
  CHECK(is_transfer_run(folder.path));
  const std::string html = read_text_file(write_transfer_report(folder.path, folder / "report"));
  CHECK_THAT(html, ContainsSubstring("Not ended"));
  CHECK_THAT(html, ContainsSubstring("Layers with r below 0.5 at step 900 (the run has not ended)"));
  CHECK_THAT(html, ContainsSubstring("Wan 2.1 1.3B, which has as many layers: 1-7, 9-12, 14, 15, 22, 24, 29"));
  CHECK_THAT(html, ContainsSubstring("Nothing: no warning was raised."));
  CHECK_THAT(html, ContainsSubstring("summary.json: not there") && ContainsSubstring("metrics.csv: not there") &&
                       ContainsSubstring("strip_&lt;step&gt;.png: none there"));
  CHECK_THAT(html, ContainsSubstring("starts with &quot;step,what&quot;"));
  CHECK(!is_transfer_run(empty.path));
  CHECK_THAT(read_text_file(write_transfer_report(empty.path)), ContainsSubstring("layers.csv: not there"));
  CHECK_THAT(test::message_of([&] { write_transfer_report(folder / "none"); }), ContainsSubstring("there is no such folder"));
}

}  // namespace
}  // namespace linden
