#include "nn/channels_last.h"

namespace linden {

void weights_to_channels_last(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.detach().contiguous(at::MemoryFormat::ChannelsLast));
  }
}

at::Tensor to_channels_last(const at::Tensor& x) {
  const at::Tensor y = x.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t C = y.size(1), Y = y.size(2), X = y.size(3);
  return C == 1 ? y.as_strided(y.sizes(), {Y * X, 1, X, 1}) : y;
}

}  // namespace linden
