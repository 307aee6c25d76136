// A text-to-video model as a folder in diffusers' layout: model_index.json, transformer/, text_encoder/, scheduler/.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "diffusion/flow_sampler.h"
#include "diffusion/guidance.h"
#include "models/text_encoder.h"
#include "models/video_dit.h"
#include "models/video_model_layout.h"

namespace linden {

struct VideoModel {
  VideoDit transformer{nullptr};
  std::shared_ptr<TextEncoder> text_encoder;
  FlowSchedulerFile scheduler;
  std::vector<int64_t> sample_shape;  // C, F, Y, X of what it was trained on
};

// fp32 or `dtype`, on the device, in eval mode, frozen. weights: "folder" or "formula:SEED" (both networks). Throws
// InputError: a part that is missing or damaged, an encoder of another width than the transformer's text_dim.
VideoModel load_video_model(const std::filesystem::path& folder, const std::string& weights, at::ScalarType dtype, at::Device device);
// The same as it stands in the folder: fp32, on the CPU, in eval mode, not frozen, for whoever trains or takes it apart.
VideoModel read_video_model(const std::filesystem::path& folder, const std::string& weights);
void write_flow_scheduler(const std::filesystem::path& folder, FlowSchedulerFile scheduler);  // into folder/scheduler/
// Floating tensors as `dtype`.
void save_video_model(const std::filesystem::path& folder, const VideoModel& model, at::ScalarType dtype);

// The velocity under guidance, fp32. x: [B, C, F, Y, X]; timestep: [B] fp32; text, null_text: [B, L, D]. Where guidance needs
// both halves, they are one batch of 2 B.
at::Tensor guided_velocity(VideoDit network, const GuidanceConfig& guidance, const at::Tensor& x, const at::Tensor& timestep, const at::Tensor& text,
                           const at::Tensor& null_text);

// How clips of a network are drawn.
struct VideoDraw {
  const FlowSampler& sampler;
  const GuidanceConfig& guidance;
  at::Tensor text, null_text;  // [B, L, D], [1, L, D]
  std::vector<int64_t> shape;  // C, F, Y, X
};
// The clips of streams (seed, indices), [B, C, F, Y, X] fp32 on the captions' device (flow_chain.h).
at::Tensor draw_video(VideoDit network, const VideoDraw& draw, uint64_t seed, std::span<const int64_t> indices,
                      const std::function<void(int64_t)>& after_step = {});

}  // namespace linden
