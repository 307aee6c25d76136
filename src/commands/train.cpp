// linden train: trains a noise predictor or a classifier from a config.
#include <fmt/format.h>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "io/event_sink.h"
#include "train/cost_estimate.h"
#include "train/loop.h"

namespace linden {
namespace {

// The effective settings, one line a key.
void print_settings(TrainConfig config) {
  struct Table final : FieldVisitor {
    void value(const Field& f, bool& m) override { row(f, m ? "true" : "false"); }
    void value(const Field& f, int64_t& m) override { row(f, fmt::format("{}", m)); }
    void value(const Field& f, double& m) override { row(f, fmt::format("{}", m)); }
    void value(const Field& f, std::string& m) override { row(f, m.empty() ? "-" : m); }
    void value(const Field& f, std::vector<int64_t>& m) override { row(f, fmt::format("{}", fmt::join(m, ", "))); }
    void value(const Field& f, std::vector<double>& m) override { row(f, fmt::format("{}", fmt::join(m, ", "))); }
    void value(const Field& f, std::vector<std::string>& m) override { row(f, fmt::format("{}", fmt::join(m, ", "))); }
    void begin_object(const Field& f) override { prefix.push_back(prefix.back() + f.name + "."); }
    void end_object() override { prefix.pop_back(); }
    void variant(const Field& f, VariantRef& m) override {
      row(f, m.current());
      begin_object(f);
      m.visit_current(*this);
      end_object();
    }
    void row(const Field& f, const std::string& text) { fmt::print("{:<44}{}\n", prefix.back() + f.name, text); }
    std::vector<std::string> prefix = {""};
  } table;
  visit_fields(table, config);
}

void run_train(const CommandLine& line) {
  TrainConfig config;
  const std::filesystem::path file = line.positional.at(0);
  for (const std::string& note : read_config({file, line.assignments}, config)) log_info("{}", note);
  require_consistent(config);
  if (line.dry_run) {
    print_settings(config);
    fmt::print("\n{}", cost_table(config, estimate_cost(config)));
    return;
  }
  const at::Device device = set_up_device(config.run, config.precision == "fp32" ? Float32Math::kExact : Float32Math::kTf32);
  TrainingInputs inputs = prepare_training(config);
  ConfigRefOf<TrainConfig> config_ref(config);
  RunDirectory run({line.command, file.stem().string(), config.run.output, line.resume, line.text}, config_ref);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  print_settings(config);
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
