// linden bench: measured speed, one kind a word.
#include "commands/command.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/bench_sampler.h"

namespace linden {
namespace {

const std::vector<std::string> kKinds = {"sampler"};

void run(const CommandLine& line) {
  check_input(line.positional.size() == 2, "linden bench: wanted a kind ({}) and a config file, got {} words; for example: linden bench sampler configs/bench/digits_unet.json",
              fmt::join(kKinds, ", "), line.positional.size());
  const std::string& kind = line.positional[0];
  const std::string nearest = nearest_name(kind, kKinds);
  check_input(kind == "sampler", "linden bench: no kind \"{}\"; kinds: {}{}", kind, fmt::join(kKinds, ", "),
              nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest));
  const std::filesystem::path file = line.positional[1];
  BenchSamplerConfig config;
  for (const std::string& note : read_config({file, line.assignments, false}, config)) log_info("{}", note);
  if (line.dry_run) {
    std::printf("%s\n", to_json(config).c_str());
    return;
  }
  run_bench_sampler(config, {line.command, file.stem().string(), config.run.output, false, line.text});
}

}  // namespace

Command bench_command() {
  return {.name = "bench",
          .summary = "measure speed: time of a denoising step by batch size",
          .usage = "linden bench sampler config.json [options]",
          .example = "linden bench sampler configs/bench/digits_unet.json --set batch_sizes=[1,32] --device cpu",
          .own_options = {},
          .run = run,
          .config = owned_config<BenchSamplerConfig>,
          .takes_config_file = false,
          .shared_options = {"set", "seed", "device", "output", "dry-run"}};
}

}  // namespace linden
