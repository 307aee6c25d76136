// What a text-to-video model's folder says of it, without its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "models/video_dit_config.h"

namespace linden {

// scheduler/scheduler_config.json: what belongs to the model of how its flow is sampled.
struct FlowSchedulerFile {
  std::string class_name = "FlowMatchEulerDiscreteScheduler";
  int64_t num_train_timesteps = 1000;
  double shift = 5.0;
};
void visit_fields(FieldVisitor& v, FlowSchedulerFile& c);

struct VideoModelLayout {
  VideoDitConfig transformer;
  FlowSchedulerFile scheduler;
  std::vector<int64_t> sample_shape;  // C, F, Y, X of what it was trained on
};
VideoModelLayout read_video_model_layout(const std::filesystem::path& folder);  // throws InputError

}  // namespace linden
