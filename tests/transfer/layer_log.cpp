// layers.csv, bins.csv and messages.csv: what is written is read back, a kill and a resume leave whole rows.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <fstream>

#include "core/files.h"
#include "tests/support/support.h"
#include "transfer/layer_log.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring;

std::vector<LayerRow> two_layers(int64_t step) { return {{step, 0, 0.99, -1.0 / 3, 0.32, -1e-12}, {step, 1, 0.1 + 0.2, 2e-7, 0.32, 0}}; }

void add_text(const std::filesystem::path& file, const std::string& text) { std::ofstream(file, std::ios::app) << text; }

TEST_CASE("rows are read back as they were written", "[unit]") {
  const test::TemporaryFolder folder;
  LayerLog log(folder.path);
  log.layers(two_layers(10));
  log.bins(10, {{0, 0.5}, {0.5, 1}, {0.25, std::nan("")}, {3, 0}});
  log.message(10, "warning", "r is 0.5, not \"1\":\nlook");
  log.message(10, {Level::kStop, "divergence", "diverges"});
  CHECK((read_layer_rows(folder / "layers.csv") == two_layers(10)));
  const auto bins = read_bin_rows(folder / "bins.csv");
  REQUIRE(bins.size() == 2);
  CHECK((bins[0].step == 10 && bins[0].sigma_high == 0.5 && bins[0].velocity_error == 0.25 && bins[0].count == 3));
  CHECK((std::isnan(bins[1].velocity_error) && bins[1].count == 0));
  const std::vector<MessageRow> messages = {{10, "warning", "r is 0.5, not \"1\": look"}, {10, "stop", "diverges"}};
  CHECK((read_message_rows(folder / "messages.csv") == messages));
}

TEST_CASE("a resumed run continues its files: no later row, no half line", "[unit]") {
  const test::TemporaryFolder folder, unbroken;
  {
    LayerLog log(folder.path);
    for (const int64_t step : {10, 20, 30}) log.layers(two_layers(step));
  }
  add_text(folder / "layers.csv", "40,0,0.5,0.1");  // killed here
  add_text(folder / "messages.csv", "40,warn");
  CHECK(read_layer_rows(folder / "layers.csv").size() == 6);
  CHECK(read_message_rows(folder / "messages.csv").empty());
  {
    LayerLog log(folder.path);  // opening alone drops the half line
    log.layers(two_layers(50));
    CHECK(read_layer_rows(folder / "layers.csv").size() == 8);
    log.cut_after(20);
    log.layers(two_layers(30));
  }
  LayerLog whole(unbroken.path);
  for (const int64_t step : {10, 20, 30}) whole.layers(two_layers(step));
  for (const char* name : {"layers.csv", "bins.csv", "messages.csv"}) CHECK(read_text_file(folder / name) == read_text_file(unbroken / name));
}

TEST_CASE("a header that was cut in half is written anew", "[unit]") {
  const test::TemporaryFolder folder;
  add_text(folder / "bins.csv", "step,sig");
  CHECK(read_bin_rows(folder / "bins.csv").empty());
  LayerLog log(folder.path);
  log.bins(1, {{0}, {1}, {2}, {3}});
  CHECK(read_bin_rows(folder / "bins.csv").size() == 1);
}

TEST_CASE("damaged files are named with their line", "[unit]") {
  const test::TemporaryFolder folder;
  const auto layers = folder / "layers.csv";
  const std::string header = "step,layer,r,grad_matching,grad_constraint,grad_regulariser\n";
  write_file_atomically(layers, header + "10,0,0.5,0,0,0\n10,1,0.5,0\n");
  CHECK_THAT(test::message_of([&] { read_layer_rows(layers); }), ContainsSubstring("layers.csv: line 3 has 4 cells, wanted 6"));
  write_file_atomically(layers, header + "10,0,half,0,0,0\n");
  CHECK_THAT(test::message_of([&] { read_layer_rows(layers); }), ContainsSubstring("line 2: \"half\" in column 3, wanted a number"));
  write_file_atomically(layers, header + "1.5,0,0,0,0,0\n");
  CHECK_THAT(test::message_of([&] { read_layer_rows(layers); }), ContainsSubstring("\"1.5\" in column 1, wanted a whole number"));
  write_file_atomically(layers, "step,loss\n");
  CHECK_THAT(test::message_of([&] { read_layer_rows(layers); }), ContainsSubstring("starts with \"step,loss\", wanted the columns \"step,layer"));
  CHECK_THAT(test::message_of([&] { LayerLog log(folder.path); }), ContainsSubstring("starts with \"step,loss\", but this run writes"));
  CHECK_THAT(test::message_of([&] { read_bin_rows(folder / "none.csv"); }), ContainsSubstring("none.csv"));
}

}  // namespace
}  // namespace linden
