// Run folders made by hand for the tests of reports.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "core/files.h"

namespace linden::test {

struct FakeRun {
  std::string method = "dts";
  int seed = 0, nfe = 1000, digit = 3;
  double mean_reward = -0.5, judged_share = 0.9, diversity = 0.4;
  std::string command = "align";
  std::string extra_config = {}, extra_summary = {};  // JSON members, each with a comma in front
};

inline std::filesystem::path write_run(const std::filesystem::path& folder, const FakeRun& run) {
  std::filesystem::create_directories(folder);
  write_file_atomically(folder / "config.json",
                        fmt::format(R"({{"seed": {}, "output": "{}", "nfe": {}, "reward": {{"type": "classifier", "digit": {}, "digits": []}},)"
                                    R"( "method": {{"type": "{}"}}{}}})",
                                    run.seed, folder.string(), run.nfe, run.digit, run.method, run.extra_config));
  write_file_atomically(folder / "summary.json",
                        fmt::format(R"({{"command": "{}", "run": "{}", "wall_seconds": 2.5, "nfe": {}, "mean_reward": {}, "best_reward": -0.001,)"
                                    R"( "root_value": null, "judged_share": {}, "num_distinct": 40, "diversity": {}{}}})",
                                    run.command, folder.string(), run.nfe, run.mean_reward, run.judged_share, run.diversity, run.extra_summary));
  return folder;
}

}  // namespace linden::test
