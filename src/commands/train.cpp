// linden train: trains a noise predictor or a classifier from a config.
#include <fmt/format.h>

#include <cstdio>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "io/event_sink.h"
#include "ops/attention_run.h"
#include "train/cost_estimate.h"
#include "train/loop.h"

namespace linden {
namespace {

void run_train(const CommandLine& line) {
  TrainConfig config;
  const std::filesystem::path file = line.positional.at(0);
  for (const std::string& note : read_config({file, line.assignments}, config)) log_info("{}", note);
  require_consistent(config);
  if (line.dry_run) {
    fmt::print("{}\n{}", settings_table(config), cost_table(config, estimate_cost(config)));
    return;
  }
  const at::Device device = set_up_device(config.run, config.precision == "fp32" ? Float32Math::kExact : Float32Math::kTf32);
  TrainingInputs inputs = prepare_training(config);
  ConfigRefOf<TrainConfig> config_ref(config);
  RunDirectory run({line.command, file.stem().string(), config.run.output, line.resume, line.text}, config_ref);
  const AttentionRun attention(config.run, run);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  fmt::print("{}\n", settings_table(config));
  std::fflush(stdout);
  TrainSummary summary = train(config, std::move(inputs), run, device);
  ConfigRefOf<TrainSummary> summary_ref(summary);
  run.write_summary(summary_ref);
}

}  // namespace

Command train_command() {
  Command command;
  command.name = "train";
  command.summary = "trains a diffusion prior or a classifier";
  command.usage = "linden train config.json [--set KEY=VALUE] [--resume] [--dry-run]";
  command.example = "linden train configs/train/gmm_mlp_small.json";
  command.run = run_train;
  command.config = [] { return owned_config<TrainConfig>(); };
  return command;
}

}  // namespace linden
