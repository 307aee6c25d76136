// Networks as noise predictors.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>

#include "diffusion/noise_predictor.h"
#include "models/mlp_denoiser.h"
#include "models/unet2d.h"

namespace linden {

struct UNet2DPredictorOptions {
  at::ScalarType dtype = at::kFloat;  // of weights and activations; states and predictions stay fp32
  int64_t num_timesteps = 0;          // of the schedule, for the table of time projections; 0: none
};

// Moves the network to `device`, puts it in eval mode, freezes its weights (UNet2D::freeze) and stores them in
// channels_last. The shape of a sample is {in_channels, sample_size, sample_size}. Throws InputError if sample_size is
// not set, or if in_channels and out_channels differ.
std::shared_ptr<NoisePredictor> unet2d_predictor(UNet2D network, at::Device device, const UNet2DPredictorOptions& options = {});

std::shared_ptr<NoisePredictor> mlp_predictor(MlpDenoiser network, at::Device device);

}  // namespace linden
