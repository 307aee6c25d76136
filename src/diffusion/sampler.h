// DDIM and DDPM steps as one affine form, and the Denoiser built from a noise predictor.
//
//   x0   = clamp(A_l (x + B_l eps))
//   mean = C_l x0 + D_l eps + E_l x
//   next = mean + sigma_l z
//
// DDIM (Song et al. 2021, eq. 12 and 16): E = 0. DDPM (Ho et al. 2020, eq. 7): D = 0. Conventions of
// diffusers' DDIMScheduler and DDPMScheduler: the previous timestep is t - T/S; eps is not recomputed from
// a clamped x0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "diffusion/denoiser.h"
#include "diffusion/noise_predictor.h"
#include "diffusion/noise_schedule.h"

namespace linden {

struct DdimConfig {
  static constexpr const char* kType = "ddim";
  int64_t num_steps = 50;
  double eta = 1.0;
  bool clip_sample = true;
  double clip_range = 1.0;
  bool set_alpha_to_one = true;
  std::string spacing = "leading";
  int64_t steps_offset = 0;
};
void visit_fields(FieldVisitor& v, DdimConfig& c);

struct DdpmConfig {
  static constexpr const char* kType = "ddpm";
  int64_t num_steps = 1000;
  std::string variance = "fixed_small";
  bool clip_sample = true;
  double clip_range = 1.0;
  std::string spacing = "leading";
  int64_t steps_offset = 0;
};
void visit_fields(FieldVisitor& v, DdpmConfig& c);

using SamplerConfig = std::variant<DdimConfig, DdpmConfig>;

// Coefficients by level; index 0 is unused.
struct StepTable {
  std::vector<int64_t> timestep;            // [S+1]
  std::vector<float> a, b, c, d, e, sigma;  // [S+1]
  bool clip = false;
  float clip_range = 1.0f;
  int64_t num_levels() const { return static_cast<int64_t>(timestep.size()) - 1; }
};
// Throws InputError where the steps do not fit the schedule.
StepTable make_step_table(const SamplerConfig& config, const NoiseSchedule& schedule);

std::shared_ptr<Denoiser> make_denoiser(std::shared_ptr<NoisePredictor> network, const NoiseSchedule& schedule, const SamplerConfig& config);

}  // namespace linden
