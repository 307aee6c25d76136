// linden sample: finished samples of a prior, unguided.
#include <cstdio>

#include "commands/command.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/sample_run.h"

namespace linden {
namespace {

void run(const CommandLine& line) {
  check_input(!line.positional.empty(), "linden sample: no config file; for example: linden sample configs/sample/digits.json");
  const std::filesystem::path file = line.positional.front();
  SampleConfig config;
  for (const std::string& note : read_config({file, line.assignments, false}, config)) log_info("{}", note);
  if (line.dry_run) {
    const auto steps = std::visit([](const auto& sampler) { return sampler.num_steps; }, config.sampler);
    std::printf("%s\n\n%lld samples of %lld steps: %lld NFE\n", to_json(config).c_str(), static_cast<long long>(config.num_samples),
                static_cast<long long>(steps), static_cast<long long>(config.num_samples * steps));
    return;
  }
  std::printf("%s\n", settings_table(config).c_str());
  std::fflush(stdout);
  run_sample(config, {line.command, file.stem().string(), config.run.output, line.resume, line.text});
}

}  // namespace

Command sample_command() {
  return {.name = "sample",
          .summary = "draw samples of a prior, unguided",
          .usage = "linden sample config.json [options]",
          .example = "linden sample configs/sample/digits.json --set num_samples=64",
          .own_options = {},
          .run = run,
          .config = owned_config<SampleConfig>};
}

}  // namespace linden
