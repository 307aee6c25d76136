// The config of `linden trajectories`: which paths of a teacher's sampler are kept, and how.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/run_config.h"
#include "diffusion/flow_sampler.h"
#include "diffusion/guidance.h"

namespace linden {

// Which steps of a path are kept, counted from 0 at the noise. The finished sample is none of them.
struct KeptStepsConfig {
  int64_t every = 1;           // 0, k, 2k, ...
  std::vector<int64_t> steps;  // these instead
};
void visit_fields(FieldVisitor& v, KeptStepsConfig& c);
// Rising. Throws ConfigError: a step that there is not or twice, both keys given.
std::vector<int64_t> kept_steps(const KeptStepsConfig& config, int64_t num_steps);

struct TrajectoriesConfig {
  RunConfig run;        // its keys stand at the top level
  std::string teacher;  // folder of a video model
  std::string weights = "folder";
  std::string prompts;  // file, a prompt a line
  std::string prompt_order = "cycle";
  std::string negative_prompt;  // of the unconditional half of guidance
  int64_t num_trajectories = 1000;
  FlowSamplerConfig sampler = FlowUniPCConfig{};
  std::string shift_from = "model";
  GuidanceConfig guidance;
  int64_t frames = 0, height = 0, width = 0;  // F, Y, X of the latents; 0: the model's
  KeptStepsConfig keep;
  std::string store = "x";
  std::string dtype = "bf16";
  int64_t shard_bytes = int64_t{1} << 30;
  int64_t batch_size = 16;
  std::string precision = "tf32";
};
void visit_fields(FieldVisitor& v, TrajectoriesConfig& c);

// num_steps, shift and the rest of the sampler's schedule.
const FlowScheduleConfig& schedule_of(const FlowSamplerConfig& sampler);
FlowScheduleConfig& schedule_of(FlowSamplerConfig& sampler);

}  // namespace linden
