// linden evaluate: numbers about a sample set, alone and against a reference.
#include <fmt/ranges.h>

#include <filesystem>
#include <functional>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/run_directory.h"
#include "evaluate/clip_set.h"
#include "evaluate/evaluation.h"

namespace linden {

namespace {

// What can be found missing before a run folder is made: a mistyped path must not use one up.
void require_inputs(const EvaluateConfig& config) {
  const SampleSet samples(config.samples);
  const Embedder embedder(config.features, config.classifier, samples, at::kCPU);
  const std::filesystem::path statistics = config.save_statistics;
  check_input(statistics.empty() || statistics.parent_path().empty() || std::filesystem::is_directory(statistics.parent_path()),
              "save_statistics is {}, but there is no folder {}", config.save_statistics, statistics.parent_path().string());
}

// A measurement that fails leaves no run folder behind, which the next try would be refused for.
void in_run_folder(const CommandLine& line, EvaluateConfig& config, const std::function<void(RunDirectory&)>& measure) {
  namespace fs = std::filesystem;
  ConfigRefOf<EvaluateConfig> config_ref(config);
  fs::path made;  // by this call
  try {
    RunDirectory run({line.command, fs::path(line.positional.front()).stem().string(), config.run.output, line.resume, line.text}, config_ref);
    if (!run.resumed()) made = run.path();
    measure(run);
  } catch (...) {
    if (made.empty()) throw;
    std::error_code ignored;  // what failed first is the message
    for (const char* name : {"config.json", "command.json", "environment.json", "log.txt", "log.jsonl", "metrics.csv", "run.lock"})
      fs::remove(made / name, ignored);
    fs::remove(made, ignored);  // not where somebody else's files are in it
    throw;
  }
}

void run_clips(EvaluateConfig config, const CommandLine& line) {
  const at::Device device = set_up_device(config.run, Float32Math::kExact);
  const ClipSet set = load_clip_set(config.samples.path, config.samples.limit, config.clips);
  load_clip_judge(config.clips.judge, config.clips.data, device);  // missing: no run folder is used up
  in_run_folder(line, config, [&](RunDirectory& run) {
    ClipSummary summary = measure_clips(set.video, set.digit, set.motion, config.clips, device);
    ConfigRefOf<ClipSummary> summary_ref(summary);
    run.write_summary(summary_ref);
    fmt::print("{}", describe_clips(summary));
    log_info("{}", run.file("summary.json").string());
  });
}

void run_evaluate(const CommandLine& line) {
  const std::filesystem::path file = line.positional.front();
  EvaluateConfig config;
  const std::vector<std::string> notes = read_config({file, line.assignments, false}, config);
  check_input(!config.samples.path.empty(), "{}: samples.path is empty: what shall be measured? For example --set samples.path=runs/gmm_dts/001",
              file.string());
  if (!config.clips.judge.empty()) {
    if (!line.dry_run) return run_clips(std::move(config), line);
    fmt::print("{}\n{} clips would be measured\n", to_json(config), load_clip_set(config.samples.path, config.samples.limit, config.clips).video.size(0));
    return;
  }
  if (line.dry_run) {
    const SampleSet samples(config.samples);
    fmt::print("{}\n{} samples of shape [{}] would be measured\n", to_json(config), samples.size(), fmt::join(samples.shape(), ", "));
    return;
  }
  require_inputs(config);
  in_run_folder(line, config, [&](RunDirectory& run) {
    for (const std::string& note : notes) log_info("{}", note);
    const at::Device device = set_up_device(config.run, Float32Math::kExact);
    EvaluateSummary summary = evaluate(config, device);
    ConfigRefOf<EvaluateSummary> summary_ref(summary);
    run.write_summary(summary_ref);
    fmt::print("{}", describe_summary(summary));
    log_info("{}", run.file("summary.json").string());
  });
}

}  // namespace

Command evaluate_command() {
  Command command;
  command.name = "evaluate";
  command.summary = "measures samples: Frechet distance, KID, MMD, precision and recall, diversity, duplicates, classes, rewards";
  command.usage = "linden evaluate config.json [options]";
  command.example = "linden evaluate configs/evaluate/digits.json --set samples.path=mnist_test_1000";
  command.own_options = {};
  command.run = run_evaluate;
  command.config = [] { return owned_config<EvaluateConfig>(); };
  return command;
}

}  // namespace linden
