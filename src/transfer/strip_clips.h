// The clips by which a transfer shows itself: of the run's seed, under a few of its prompts, from any network.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <optional>
#include <string>

#include "transfer/config.h"
#include "transfer/networks.h"
#include "transfer/trajectory_manifest.h"

namespace linden {

// One strip: its picture, and the batch means of its probes (probes.h).
struct StudentStrip {
  std::filesystem::path file;
  double saturation = 0, deviation = 0, motion = 0;
};

class StripClips {
 public:
  // config.num_strip_clips clips (at least 1, or nothing may be asked for) of the trajectories' shape and sampler; files go to `folder`.
  StripClips(const TransferConfig& config, const TrajectoryManifest& manifest, const CaptionBatch& prompts, VideoDit teacher, std::filesystem::path folder,
             at::Device device);
  // The network's clips, moving, into the folder. The teacher's (teacher.apng) go before them once.
  void write(const std::string& name, VideoDit network);
  // Teacher above student; `compared`: above the clips of the model that config.compare names, where it names one.
  StudentStrip strip(int64_t step, VideoDit student, bool compared);
  std::optional<double> teacher_deviation() const { return teacher_deviation_; }  // once there were clips

 private:
  at::Tensor draw(VideoDit network) const;  // [clips, C, F, Y, X] on the CPU
  const at::Tensor& of_teacher();

  const TransferConfig& config_;
  const TrajectoryManifest& manifest_;
  CaptionBatch captions_;  // [clips, L, D]
  VideoDit teacher_;
  std::filesystem::path folder_;
  at::Device device_;
  at::Tensor teacher_clips_;
  std::optional<double> teacher_deviation_;
};

}  // namespace linden
