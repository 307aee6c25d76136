// Networks as noise predictors.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "diffusion/noise_predictor.h"
#include "models/mlp_denoiser.h"
#include "models/unet2d.h"

namespace linden {

// Moves the network to `device`, puts it in eval mode, freezes its weights and stores them in channels_last.
// The shape of a sample is {in_channels, sample_size, sample_size}. Throws InputError if sample_size is not
// set, or if in_channels and out_channels differ.
std::shared_ptr<NoisePredictor> unet2d_predictor(UNet2D network, at::Device device);

std::shared_ptr<NoisePredictor> mlp_predictor(MlpDenoiser network, at::Device device);

}  // namespace linden
