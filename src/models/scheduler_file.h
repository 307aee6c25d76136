// scheduler_config.json beside a model: the part of it that belongs to the model, its noise schedule.
// (How to step is the sampler's business: diffusion/sampler.h.) Keys as huggingface/diffusers' schedulers.
#pragma once

#include <filesystem>

#include "diffusion/noise_schedule.h"

namespace linden {

// Reads `folder`/scheduler_config.json, or `folder`/../scheduler/scheduler_config.json (a pipeline's layout).
// Throws InputError if there is neither, or if the schedule is one that linden does not have.
NoiseScheduleConfig read_scheduler_config(const std::filesystem::path& folder);

// Writes `folder`/scheduler_config.json, for a DDIM sampler with the reference's defaults.
void write_scheduler_config(const std::filesystem::path& folder, const NoiseScheduleConfig& schedule);

}  // namespace linden
