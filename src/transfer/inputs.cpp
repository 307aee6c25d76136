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

std::shared_ptr<TrajectorySource> stored_source(const TransferConfig& config, const VideoModel& teacher, at::Device device) {
  const TrajectoryManifest manifest = read_manifest(config.trajectories);
  require_teacher(manifest, config.trajectories, video_model_digest(config.teacher, config.weights), config.teacher);
  require_guidance(manifest, config.guidance);
  require_latents(manifest, teacher.transformer->config().in_channels, teacher.transformer->config().patch_size);
  return std::make_shared<StoredTrajectories>(config.trajectories, device, config.device_mb << 20);
}

// Its network is the teacher's own, which lies on the device by the time that the first paths are made.
std::shared_ptr<TrajectorySource> rolling_source(const TransferConfig& config, const VideoModel& teacher, at::Device device) {
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
  const VideoModelLayout layout = read_video_model_layout(config.teacher);
  resolve_trajectories(paths, layout);
  const TrajectoryManifest manifest = describe_trajectories(paths, layout, "");
  RollingConfig buffer = rolling.buffer;
  buffer.held_out = config.num_held_out;
  TeacherVelocity velocity = [in_bf16 = config.precision == "bf16", device, own = teacher_velocity(teacher, manifest, device)](const auto&... arguments) {
    const Bf16Scope bf16(in_bf16, device);  // the teacher's weights stay in fp32: training asks it, too
    return own(arguments...);
  };
  return std::make_shared<RollingTrajectories>(manifest, std::move(velocity), buffer, device);
}

}  // namespace

TransferInputs prepare_transfer(const TransferConfig& config, at::Device device) {
  require_consistent(config);
  TransferInputs inputs;
  inputs.teacher = read_video_model(config.teacher, config.weights);
  const int64_t layers = inputs.teacher.transformer->config().num_layers;
  fixed_selection(config.gates, layers, static_cast<uint64_t>(config.run.seed));
  const std::vector<std::string> kinds = attention_of_blocks(inputs.teacher.transformer->config());
  for (size_t i = 0; i < kinds.size(); ++i)
    check_input(kinds[i] == "softmax", "{}: layer {} is {} already; a transfer starts from a teacher whose layers are all softmax", config.teacher, i,
                kinds[i]);
  if (!config.compare.empty()) {
    const VideoModelLayout other = read_video_model_layout(config.compare), own = read_video_model_layout(config.teacher);
    check_input(other.sample_shape == own.sample_shape && other.transformer.text_dim == own.transformer.text_dim,
                "compare: {} makes clips [{}] under captions of width {}, the teacher [{}] of {}; wanted the same", config.compare,
                fmt::join(other.sample_shape, ", "), other.transformer.text_dim, fmt::join(own.sample_shape, ", "), own.transformer.text_dim);
  }
  inputs.source = config.trajectories.empty() ? rolling_source(config, inputs.teacher, device) : stored_source(config, inputs.teacher, device);
  const int64_t kept = inputs.source->manifest().num_kept(), trajectories = inputs.source->size() / kept, pairs = (trajectories - config.num_held_out) * kept;
  if (pairs < config.batch_size)
    throw ConfigError(fmt::format(
        "num_held_out is {} and batch_size {}, but {} has {} trajectories of {} pairs: {} are left to train on; make more trajectories or lower the two",
        config.num_held_out, config.batch_size, config.trajectories.empty() ? "rolling" : config.trajectories, trajectories, kept,
        std::max<int64_t>(0, pairs)));
  return inputs;
}

}  // namespace linden
