// linden trajectories: keeps a teacher's sampling paths, which transfer trains on.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "experiment/bench_dit_cost.h"
#include "models/model_digest.h"
#include "models/video_model.h"
#include "ops/attention_run.h"
#include "transfer/trajectory_generator.h"
#include "transfer/trajectory_run.h"

namespace linden {
namespace {

constexpr double kGB = 1e-9;

double flop_per_call(const VideoDitConfig& model, const std::vector<int64_t>& latents, int64_t text_tokens) {
  DitWork work;
  work.tokens = latents[1] / model.patch_size[0] * (latents[2] / model.patch_size[1]) * (latents[3] / model.patch_size[2]);
  work.text_tokens = text_tokens;
  for (const std::string& kind : attention_of_blocks(model)) work.linear_blocks += kind == "linear" ? 1 : 0;
  return total_of(dit_stages(model, work)).flop;
}

std::string cost_text(const TrajectoryManifest& manifest, const VideoModelLayout& teacher, const std::filesystem::path& folder) {
  const TrajectoriesCost cost = trajectories_cost(manifest);
  const double flop = flop_per_call(teacher.transformer, manifest.latent_shape, teacher.transformer.text_len);
  std::string text = fmt::format("a pair               {} [{}]\n", manifest.has_velocity() ? "x and velocity" : "x", fmt::join(manifest.latent_shape, ", "));
  text += fmt::format("a trajectory         {} of {} steps, {} bytes\n", manifest.num_kept(), manifest.num_steps, manifest.trajectory_bytes());
  text += fmt::format("in all               {} trajectories, {} pairs under {} prompts\n", manifest.num_trajectories, manifest.num_pairs(),
                      manifest.prompts.size());
  text += fmt::format("latents              {} bytes ({:.2f} GB) as {}\n", cost.bytes, static_cast<double>(cost.bytes) * kGB, manifest.dtype);
  text += fmt::format("shards               {} of {} trajectories, at most {} bytes a file\n", manifest.num_shards(), manifest.trajectories_per_shard,
                      shard_file_bound(manifest, 0));
  text += fmt::format("network calls        {} of one video ({} NFE, guidance {} {}), {:.3g} FLOP each, {:.3g} in all\n", cost.network_calls, cost.nfe,
                      manifest.guidance.convention, manifest.guidance.scale, flop, flop * static_cast<double>(cost.network_calls));
  text += fmt::format("free at {}  {:.2f} GB\n", folder.string(), static_cast<double>(free_bytes_of(folder)) * kGB);
  return text;
}

void run(const CommandLine& line) {
  const std::filesystem::path file = line.positional.at(0);
  TrajectoriesConfig config;
  for (const std::string& note : read_config({file, line.assignments}, config)) log_info("{}", note);
  if (config.teacher.empty()) throw ConfigError(fmt::format("{}: teacher is empty; wanted the folder of a video model", file.string()));
  if (config.prompts.empty()) throw ConfigError(fmt::format("{}: prompts is empty; wanted a file with a prompt a line", file.string()));
  const VideoModelLayout layout = read_video_model_layout(config.teacher);
  resolve_trajectories(config, layout);
  fmt::print("{}\n", settings_table(config));
  std::fflush(stdout);
  const std::filesystem::path folder = config.run.output.empty() ? "runs" : config.run.output;
  if (line.dry_run) {
    const TrajectoryManifest manifest = describe_trajectories(config, layout, "");
    fmt::print("{}", cost_text(manifest, layout, folder));
    std::fflush(stdout);
    require_room(manifest, folder);
    return;
  }
  const at::Device device = set_up_device(config.run, config.precision == "fp32" ? Float32Math::kExact : Float32Math::kTf32);
  const TrajectoryManifest manifest = describe_trajectories(config, layout, video_model_digest(config.teacher, config.weights));
  const VideoModel teacher = load_video_model(config.teacher, config.weights, config.precision == "bf16" ? at::kBFloat16 : at::kFloat, device);
  // What would stop the run is said before there is a folder.
  teacher_velocity(teacher, manifest, device);
  if (!line.resume) require_room(manifest, folder);
  ConfigRefOf<TrajectoriesConfig> ref(config);
  RunDirectory run({line.command, file.stem().string(), config.run.output, line.resume, line.text}, ref);
  const AttentionRun attention(config.run, run);
  fmt::print("{}\n", cost_text(manifest, layout, run.path()));
  std::fflush(stdout);
  TrajectoriesSummary summary = make_trajectories(config, manifest, teacher, run, device);
  ConfigRefOf<TrajectoriesSummary> summary_ref(summary);
  run.write_summary(summary_ref);
  log_info("{} trajectories, {} pairs, {:.2f} GB in {} shards: {}", summary.num_trajectories, summary.pairs, static_cast<double>(summary.bytes) * kGB,
           summary.shards, run.path().string());
}

}  // namespace

Command trajectories_command() {
  Command command;
  command.name = "trajectories";
  command.summary = "keeps a video model's sampling paths for transfer";
  command.usage = "linden trajectories config.json [--set KEY=VALUE] [--resume] [--dry-run]";
  command.example = "linden trajectories configs/transfer/moving_digits_trajectories.json --dry-run";
  command.run = run;
  command.config = owned_config<TrajectoriesConfig>;
  return command;
}

}  // namespace linden
