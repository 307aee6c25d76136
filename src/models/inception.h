// The Inception v3 of the Frechet Inception distance: Szegedy et al. 2015 with the weights of TensorFlow's
// inception-2015-12-05, as mseitzer/pytorch-fid `inception.py` has it (FID: Heusel et al. 2017).
//
//   Conv2d_1a 2a 2b, max -> [64] -> Conv2d_3b 4a, max -> [192] -> Mixed_5b .. 6e -> [768] -> Mixed_7a 7b 7c -> [2048] -> fc
//
// It differs from torchvision's in three places: average pools do not count the padding, Mixed_7c pools by the
// maximum, fc has 1008 rows. Weights are not shipped; `scripts/convert_inception` makes them from pytorch-fid's file.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "models/inception_blocks.h"

namespace linden {

// Widths of the layers that can be asked for, from early to late.
inline constexpr std::array<int64_t, 4> kInceptionDims = {64, 192, 768, 2048};

class InceptionImpl : public torch::nn::Module {
 public:
  InceptionImpl();
  // images: [B, C, Y, X] in [-1, 1], C in {1, 3}, any size: resized to 299 x 299 (bilinear, align_corners false, no
  // antialias), grey replicated to 3 channels. Returns [B, dims], the layer's mean over pixels; what comes after
  // the layer is not computed. CheckError unless dims is one of kInceptionDims.
  at::Tensor features(const at::Tensor& images, int64_t dims);

 private:
  std::vector<InceptionConv> stem_;
  std::vector<InceptionMixed> middle_, top_;  // Mixed_5b .. 6e, Mixed_7a .. 7c
  torch::nn::Linear fc{nullptr};              // no feature stands on it: it is here to account for every tensor of the file
};
TORCH_MODULE(Inception);

// weights: a .safetensors file with pytorch-fid's tensor names, or "formula:SEED" (formula_weights.h). fp32, eval mode,
// frozen. Throws InputError: nothing there (how to get it), a PyTorch pickle (how to convert it), or tensors that are
// missing, surplus or misshaped, all at once.
Inception load_inception(const std::string& weights, at::Device device);

}  // namespace linden
