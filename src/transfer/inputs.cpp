#include "transfer/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "models/model_digest.h"
#include "train/autocast.h"
#include "transfer/trajectory_run.h"

namespace linden {
namespace {

std::string where_from(const TransferConfig& config) { return config.trajectories.empty() ? "rolling" : config.trajectories; }

// Of the folder that is named, or of the paths that will be made on the way.
TrajectoryManifest manifest_of(const TransferConfig& config, const VideoModelLayout& layout) {
  const std::string digest = video_model_digest(config.teacher, config.weights);
  if (!config.trajectories.empty()) {
    const TrajectoryManifest manifest = read_manifest(config.trajectories);
    require_teacher(manifest, config.trajectories, digest, config.teacher);
    require_guidance(manifest, config.guidance);
    require_latents(manifest, layout.transformer.in_channels, layout.transformer.patch_size);
    return manifest;
  }
  const RollingTransferConfig& rolling = config.rolling;
  TrajectoriesConfig paths;
  paths.run = config.run;
  paths.teacher = config.teacher;
  paths.weights = config.weights;
  paths.prompts = rolling.prompts;
  paths.negative_prompt = rolling.negative_prompt;
  paths.sampler = rolling.sampler;
  paths.guidance = config.guidance;
  paths.keep = rolling.keep;
  paths.frames = rolling.frames;
  paths.height = rolling.height;
  paths.width = rolling.width;
  paths.store = rolling.store;
  paths.dtype = rolling.dtype;
  paths.batch_size = rolling.batch_size;
  paths.precision = config.precision;
  resolve_trajectories(paths, layout);
  return describe_trajectories(paths, layout, digest);
}

// Its network is the teacher's own, which lies on the device by the time that the first paths are made.
std::shared_ptr<TrajectorySource> rolling_source(const TransferConfig& config, const TrajectoryManifest& manifest, const VideoModel& teacher,
                                                 at::Device device) {
  RollingConfig buffer = config.rolling.buffer;
  buffer.held_out = config.num_held_out;
  TeacherVelocity velocity = [in_bf16 = config.precision == "bf16", device, own = teacher_velocity(teacher, manifest, device)](const auto&... arguments) {
    const Bf16Scope bf16(in_bf16, device);  // the teacher's weights stay in fp32: training asks it, too
    return own(arguments...);
  };
  return std::make_shared<RollingTrajectories>(manifest, std::move(velocity), buffer, device);
}

void require_same_clips(const TransferConfig& config, const VideoModelLayout& own) {
  const VideoModelLayout other = read_video_model_layout(config.compare);
  check_input(other.sample_shape == own.sample_shape && other.transformer.text_dim == own.transformer.text_dim,
              "compare: {} makes clips [{}] under captions of width {}, the teacher [{}] of {}; wanted the same", config.compare,
              fmt::join(other.sample_shape, ", "), other.transformer.text_dim, fmt::join(own.sample_shape, ", "), own.transformer.text_dim);
}

void require_enough_pairs(const TransferConfig& config, const TrajectoryManifest& manifest) {
  const int64_t kept = manifest.num_kept();
  const int64_t trajectories = config.trajectories.empty() ? config.rolling.buffer.capacity + config.num_held_out : manifest.num_trajectories;
  const int64_t pairs = (trajectories - config.num_held_out) * kept;
  if (pairs >= config.batch_size) return;
  throw ConfigError(fmt::format(
      "num_held_out is {} and batch_size {}, but {} has {} trajectories of {} pairs: {} are left to train on; make more trajectories or lower the two",
      config.num_held_out, config.batch_size, where_from(config), trajectories, kept, std::max<int64_t>(0, pairs)));
}

}  // namespace

TrajectoryManifest check_transfer(const TransferConfig& config) {
  require_consistent(config);
  const VideoModelLayout layout = read_video_model_layout(config.teacher);
  const int64_t layers = layout.transformer.num_layers;
  allowed_layers(config.gates, layers);
  fixed_selection(config.gates, layers, static_cast<uint64_t>(config.run.seed));
  const std::vector<std::string> kinds = attention_of_blocks(layout.transformer);
  for (size_t i = 0; i < kinds.size(); ++i)
    check_input(kinds[i] == "softmax", "{}: layer {} is {} already; a transfer starts from a teacher whose layers are all softmax", config.teacher, i,
                kinds[i]);
  if (!config.compare.empty()) require_same_clips(config, layout);
  TrajectoryManifest manifest = manifest_of(config, layout);
  require_enough_pairs(config, manifest);
  return manifest;
}

TransferInputs prepare_transfer(const TransferConfig& config, at::Device device) {
  const TrajectoryManifest manifest = check_transfer(config);
  TransferInputs inputs;
  inputs.teacher = read_video_model(config.teacher, config.weights);
  if (!config.compare.empty()) read_video_model(config.compare, "folder");  // what is wrong with it is said now, not with the last strip
  if (config.trajectories.empty()) inputs.source = rolling_source(config, manifest, inputs.teacher, device);
  else inputs.source = std::make_shared<StoredTrajectories>(config.trajectories, device, config.device_mb << 20);
  return inputs;
}

}  // namespace linden
