// linden bench: what is measured by itself, one kind a word: speed, and the stability of objectives.
#include <fmt/ranges.h>

#include <cstdio>

#include "commands/command.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/bench_adm.h"
#include "experiment/bench_attention.h"
#include "experiment/bench_dit.h"
#include "experiment/bench_sampler.h"

namespace linden {
namespace {

// Reads the kind's config from the second word; --dry-run prints what `describe` says instead of running.
template <class Config, class Describe, class Run>
void run_kind(const CommandLine& line, Describe describe, Run run) {
  const std::filesystem::path file = line.positional[1];
  Config config;
  for (const std::string& note : read_config({file, line.assignments, false}, config)) log_info("{}", note);
  if (line.dry_run) std::printf("%s\n", describe(config).c_str());
  else run(config, {line.command, file.stem().string(), config.run.output, false, line.text});
}

void run(const CommandLine& line) {
  const Command command = bench_command();
  std::vector<std::string> names;
  for (const CommandKind& kind : command.kinds) names.push_back(kind.name);
  check_input(line.positional.size() == 2, "linden bench: wanted a kind ({}) and a config file, got {} words; for example: {}", fmt::join(names, ", "),
              line.positional.size(), command.example);
  const std::string& kind = find_kind(command, line.positional[0]).name;
  if (kind == "sampler") run_kind<BenchSamplerConfig>(line, to_json<BenchSamplerConfig>, run_bench_sampler);
  if (kind == "attention") run_kind<BenchAttentionConfig>(line, describe_bench_attention, run_bench_attention);
  if (kind == "adm") run_kind<BenchAdmConfig>(line, to_json<BenchAdmConfig>, run_bench_adm);
  if (kind == "dit") run_kind<BenchDitConfig>(line, describe_bench_dit, run_bench_dit);
}

}  // namespace

Command bench_command() {
  const CommandKind sampler{"sampler", "time of a denoising step by batch size",
                            "linden bench sampler configs/bench/digits_unet.json --set batch_sizes=[1,32] --device cpu", owned_config<BenchSamplerConfig>};
  const CommandKind attention{"attention", "time of attention and norms, forward and backward, against the card's floor",
                              "linden bench attention configs/bench/attention_small.json", owned_config<BenchAttentionConfig>};
  const CommandKind dit{"dit", "time and memory of the video transformer's forward pass, stage by stage, by the number of its linear blocks",
                        "linden bench dit configs/bench/video_dit_small.json", owned_config<BenchDitConfig>};
  const CommandKind adm{"adm", "stability of the matching objectives of a transfer: linear picture and small trained students",
                        "linden bench adm configs/bench/adm.json", owned_config<BenchAdmConfig>};
  return {.name = "bench",
          .summary = "measure speed: of a denoising step, of attention and norms, of the video transformer; and which matching objectives are stable",
          .usage =
              "linden bench sampler config.json [options] | linden bench attention config.json [options] | linden bench dit config.json [options] | linden "
              "bench adm config.json [options]",
          .example = sampler.example,
          .own_options = {},
          .run = run,
          .config = sampler.config,
          .takes_config_file = false,
          .shared_options = {"set", "seed", "device", "output", "dry-run"},
          .kinds = {sampler, attention, dit, adm}};
}

}  // namespace linden
