// linden transfer: turns a video model's softmax attention into linear attention, layer by layer.
#include <fmt/format.h>

#include <cstdio>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/transfer_run.h"
#include "transfer/inputs.h"

namespace linden {
namespace {

void run(const CommandLine& line) {
  TransferRunConfig config;
  const std::filesystem::path file = line.positional.at(0);
  for (const std::string& note : read_config({file, line.assignments}, config)) log_info("{}", note);
  if (line.dry_run) {
    const std::string& trajectories = config.transfer.trajectories;
    if (trajectories.empty() || std::filesystem::exists(trajectories)) check_transfer(config.transfer);
    else require_consistent(config.transfer);  // it can be planned before its trajectories are there
    fmt::print("{}\n{}", settings_table(config), transfer_cost_table(config.transfer));
    return;
  }
  run_transfer(config, {line.command, file.stem().string(), config.transfer.run.output, line.resume, line.text});
}

}  // namespace

Command transfer_command() {
  Command command;
  command.name = "transfer";
  command.summary = "turns a video model's softmax attention into linear attention, layer by layer, without data";
  command.usage = "linden transfer config.json [--set KEY=VALUE] [--resume] [--dry-run]";
  command.example = "linden transfer configs/transfer/moving_digits_short.json";
  command.run = run;
  command.config = [] { return owned_config<TransferRunConfig>(); };
  return command;
}

}  // namespace linden
