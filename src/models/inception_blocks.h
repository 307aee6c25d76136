// The parts of the Inception v3 network: a convolution with batch norm and ReLU, and the mixed block that runs
// several chains of them side by side. Names and arithmetic as mseitzer/pytorch-fid `inception.py`.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace linden {

// One convolution: its name in the state dict, output channels, kernel [Y, X]; at stride 1 it keeps the size.
struct InceptionConvSpec {
  std::string name;
  int64_t out_channels = 0;
  std::array<int64_t, 2> kernel = {1, 1};
  int64_t stride = 1;
  std::array<int64_t, 2> padding = {0, 0};
};

enum class InceptionPool {
  kNone,
  kAverage,  // 3 x 3, stride 1, the padding is not counted
  kMax,      // 3 x 3, stride 1
  kShrink,   // maximum, 3 x 3, stride 2, no padding
};

// Pool, then `chain` one after the other, then `fork` side by side (its outputs are joined).
struct InceptionBranchSpec {
  InceptionPool pool = InceptionPool::kNone;
  std::vector<InceptionConvSpec> chain, fork;
};

class InceptionConvImpl : public torch::nn::Module {
 public:
  InceptionConvImpl(int64_t in_channels, const InceptionConvSpec& spec);
  at::Tensor forward(const at::Tensor& x);  // [B, C, Y, X]

 private:
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d bn{nullptr};
};
TORCH_MODULE(InceptionConv);

class InceptionMixedImpl : public torch::nn::Module {
 public:
  InceptionMixedImpl(int64_t in_channels, std::vector<InceptionBranchSpec> branches);
  at::Tensor forward(const at::Tensor& x);  // [B, in_channels, Y, X] -> [B, out_channels(), Y', X']
  int64_t out_channels() const { return out_channels_; }

 private:
  struct Branch {
    InceptionPool pool;
    std::vector<InceptionConv> chain, fork;
  };
  std::vector<Branch> branches_;
  int64_t out_channels_ = 0;
};
TORCH_MODULE(InceptionMixed);

}  // namespace linden
