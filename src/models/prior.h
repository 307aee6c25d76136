// The diffusion prior of a run: what predicts the noise, and the schedule it belongs to.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>
#include <variant>

#include "core/config.h"
#include "diffusion/noise_predictor.h"
#include "diffusion/flow_sampler.h"
#include "diffusion/guidance.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"

namespace linden {

// The schedule of the two-dimensional toys (Diffusion Tree Sampling, appendix F.2).
inline NoiseScheduleConfig toy_schedule() { return {100, "linear", 0.001, 0.07}; }

// A UNet2DModel folder with scheduler_config.json beside it, or in ../scheduler.
struct UNet2DPriorConfig {
  static constexpr const char* kType = "unet2d";
  std::string folder;
  std::string weights = "folder";
  std::string dtype = "float32";
};
void visit_fields(FieldVisitor& v, UNet2DPriorConfig& c);

// An MlpDenoiser folder with its scheduler_config.json.
struct MlpPriorConfig {
  static constexpr const char* kType = "mlp";
  std::string folder;
  std::string weights = "folder";
};
void visit_fields(FieldVisitor& v, MlpPriorConfig& c);

struct GaussianMixturePriorConfig {
  static constexpr const char* kType = "gaussian_mixture";
  int64_t num_modes = 8;
  double radius = 4;
  double sigma = 0.3;
  NoiseScheduleConfig schedule = toy_schedule();
};
void visit_fields(FieldVisitor& v, GaussianMixturePriorConfig& c);

struct CheckerboardPriorConfig {
  static constexpr const char* kType = "checkerboard";
  NoiseScheduleConfig schedule = toy_schedule();
};
void visit_fields(FieldVisitor& v, CheckerboardPriorConfig& c);

// A text-to-video model (video_model.h), a flow.
struct VideoPriorConfig {
  static constexpr const char* kType = "video";
  std::string folder;
  std::string weights = "folder";
  std::string dtype = "float32";
  std::string caption;
  GuidanceConfig guidance = {.convention = "u_plus", .scale = 2.0};
  int64_t frames = 0;
};
void visit_fields(FieldVisitor& v, VideoPriorConfig& c);

using PriorConfig = std::variant<UNet2DPriorConfig, MlpPriorConfig, GaussianMixturePriorConfig, CheckerboardPriorConfig, VideoPriorConfig>;

// DDIM and DDPM for priors that predict noise, the others for flows.
using PriorSamplerConfig = std::variant<DdimConfig, DdpmConfig, FlowEulerConfig, FlowUniPCConfig, FlowDpmppConfig, FlowSdeConfig>;

struct Prior {
  std::shared_ptr<NoisePredictor> network;
  NoiseSchedule schedule;
};

// Networks: fp32 unless the config says otherwise, eval mode, frozen weights (gradients still flow to x), weights in channels_last.
// Throws InputError; also for a prior that predicts no noise.
Prior load_prior(const PriorConfig& config, at::Device device);

// The half of PriorSamplerConfig that is for flows. Throws ConfigError for ddim and ddpm.
FlowSamplerConfig flow_sampler_of(const PriorSamplerConfig& sampler);

// Prior and sampler together, of either kind; a video prior under its caption and guidance. Throws InputError, and ConfigError
// for a sampler of the other kind.
std::shared_ptr<Denoiser> load_denoiser(const PriorConfig& config, const PriorSamplerConfig& sampler, at::Device device);

}  // namespace linden
