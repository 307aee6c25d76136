#include "transfer/strip_clips.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "models/video_model.h"
#include "transfer/probes.h"
#include "transfer/strip.h"

namespace linden {

StripClips::StripClips(const TransferConfig& config, const TrajectoryManifest& manifest, const CaptionBatch& prompts, VideoDit teacher,
                       std::filesystem::path folder, at::Device device)
    : config_(config),
      manifest_(manifest),
      teacher_(std::move(teacher)),
      folder_(std::move(folder)),
      device_(device) {
  const int64_t count = config.num_strip_clips, number = prompts.text.size(0);
  const int64_t apart = std::max<int64_t>(1, number / std::max<int64_t>(1, count) + 1);  // prompts far apart in the list show different things
  captions_ = {prompts.text.index_select(0, (at::arange(count, at::kLong) * apart).remainder(number).to(device)), prompts.none};
}

at::Tensor StripClips::draw(VideoDit network) const {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> indices(static_cast<size_t>(config_.num_strip_clips));
  std::iota(indices.begin(), indices.end(), 0);
  const FlowSampler sampler(manifest_.sampler);
  return draw_video(network, {sampler, config_.guidance, captions_.text, captions_.none, manifest_.latent_shape}, static_cast<uint64_t>(config_.run.seed),
                    indices)
      .cpu();
}

const at::Tensor& StripClips::of_teacher() {
  if (!teacher_clips_.defined()) {
    teacher_clips_ = draw(teacher_);
    teacher_deviation_ = probe_clips(teacher_clips_).deviation.mean().item<double>();
    write_moving_clips(folder_ / "teacher.apng", teacher_clips_, teacher_clips_);
  }
  return teacher_clips_;
}

void StripClips::write(const std::string& name, VideoDit network) {
  const at::Tensor clips = draw(std::move(network));
  write_moving_clips(folder_ / name, clips, of_teacher());
}

StudentStrip StripClips::strip(int64_t step, VideoDit student, bool compared) {
  const at::Tensor& wanted = of_teacher();
  const at::Tensor clips = draw(std::move(student)), probes = batch_means(probe_clips(clips));
  at::Tensor others;
  if (compared && !config_.compare.empty()) others = draw(load_video_model(config_.compare, "folder", at::kFloat, device_).transformer);
  return {write_strip(folder_, step, wanted, clips, others), probes[0].item<double>(), probes[1].item<double>(), probes[2].item<double>()};
}

}  // namespace linden
