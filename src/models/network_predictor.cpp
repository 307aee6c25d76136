#include "models/network_predictor.h"

#include "core/error.h"
#include "nn/channels_last.h"

namespace linden {
namespace {

void freeze(torch::nn::Module& module, at::Device device, at::ScalarType dtype = at::kFloat) {
  module.to(device, dtype);
  module.eval();
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
}

class UNet2DPredictor final : public NoisePredictor {
 public:
  UNet2DPredictor(UNet2D network, at::Device device, const UNet2DPredictorOptions& options)
      : network_(std::move(network)),
        device_(device),
        dtype_(options.dtype) {
    const UNet2DConfig& config = network_->config();
    check_input(config.sample_size > 0, "UNet2DModel: sample_size is 0, but a prior needs the size of a sample");
    check_input(config.in_channels == config.out_channels, "UNet2DModel: in_channels is {} and out_channels {}; a prior that predicts noise has them equal",
                config.in_channels, config.out_channels);
    shape_ = {config.in_channels, config.sample_size, config.sample_size};
    freeze(*network_, device, dtype_);
    weights_to_channels_last(*network_);
    network_->freeze(options.num_timesteps);
  }
  at::Tensor predict_noise(const at::Tensor& x, const at::Tensor& timesteps) override {
    const at::Tensor input = to_channels_last(x.to(dtype_));
    return network_(input, timesteps).to(x.scalar_type(), /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::Contiguous);
  }
  std::vector<int64_t> shape() const override { return shape_; }
  at::Device device() const override { return device_; }

 private:
  UNet2D network_;
  at::Device device_;
  at::ScalarType dtype_;
  std::vector<int64_t> shape_;
};

class MlpPredictor final : public NoisePredictor {
 public:
  MlpPredictor(MlpDenoiser network, at::Device device) : network_(std::move(network)), device_(device) { freeze(*network_, device); }
  at::Tensor predict_noise(const at::Tensor& x, const at::Tensor& timesteps) override { return network_(x, timesteps); }
  std::vector<int64_t> shape() const override { return {network_->config().data_dim}; }
  at::Device device() const override { return device_; }

 private:
  MlpDenoiser network_;
  at::Device device_;
};

}  // namespace

std::shared_ptr<NoisePredictor> unet2d_predictor(UNet2D network, at::Device device, const UNet2DPredictorOptions& options) {
  return std::make_shared<UNet2DPredictor>(std::move(network), device, options);
}

std::shared_ptr<NoisePredictor> mlp_predictor(MlpDenoiser network, at::Device device) { return std::make_shared<MlpPredictor>(std::move(network), device); }

}  // namespace linden
