// linden align: sample from, or search for, what a reward prefers.
#include <cstdio>

#include "align/config.h"
#include "commands/command.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/align_run.h"

namespace linden {
namespace {

void run(const CommandLine& line) {
  check_input(!line.positional.empty(), "linden align: no config file; for example: linden align configs/align/gmm_dts.json");
  const std::filesystem::path file = line.positional.front();
  AlignConfig config;
  for (const std::string& note : read_config({file, line.assignments, false}, config)) log_info("{}", note);
  if (line.dry_run) {
    std::printf("%s\n\n%s", to_json(config).c_str(), describe_align(config).c_str());
    return;
  }
  std::printf("%s\n", settings_table(config).c_str());
  std::fflush(stdout);
  run_align(config, {line.command, file.stem().string(), config.run.output, line.resume, line.text});
}

}  // namespace

Command align_command() {
  return {.name = "align",
          .summary = "tree sampling, tree search and best-of-N under a reward",
          .usage = "linden align config.json [options]",
          .example = "linden align configs/align/gmm_dts.json --set nfe=20000",
          .own_options = {},
          .run = run,
          .config = owned_config<AlignConfig>};
}

}  // namespace linden
