// Linear, GELU (tanh), Linear, under the names of huggingface/diffusers `models/attention.py` (FeedForward):
// net.0.proj, net.2.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "nn/linear.h"

namespace linden {

class FeedForwardImpl : public torch::nn::Module {
 public:
  FeedForwardImpl(int64_t width, int64_t inner_width);
  // x: [..., M] -> [..., M]
  at::Tensor forward(const at::Tensor& x);

 private:
  Linear in_{nullptr}, out_{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace linden
