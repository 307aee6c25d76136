// One `linden align` run: config, run directory, denoiser, reward, search, and what it leaves behind.
#pragma once

#include "align/config.h"
#include "core/run_directory.h"

namespace linden {

// Everything is checked and loaded before the run directory is touched. Throws InputError, RewardError,
// Interrupted (after saving).
void run_align(AlignConfig config, const RunOptions& options);

// What would run: trajectories, memory of the latents, and the time, from a few measured steps.
std::string describe_align(const AlignConfig& config);

}  // namespace linden
