#include "models/inception.h"

#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "models/formula_weights.h"
#include "models/weights.h"

namespace linden {
namespace {

using Conv = InceptionConvSpec;
using Branches = std::vector<InceptionBranchSpec>;
constexpr auto kNone = InceptionPool::kNone;

constexpr int64_t kImageSize = 299;
constexpr const char* kHowToGet =
    "scripts/convert_inception makes it from pytorch-fid's weights (pt_inception-2015-12-05-6726825d.pth of "
    "github.com/mseitzer/pytorch-fid, release fid_weights)";

Conv square(std::string name, int64_t out, int64_t size) { return {std::move(name), out, {size, size}, 1, {size / 2, size / 2}}; }
Conv shrinking(std::string name, int64_t out) { return {std::move(name), out, {3, 3}, 2, {0, 0}}; }
Conv row(std::string name, int64_t out, int64_t size) { return {std::move(name), out, {1, size}, 1, {0, size / 2}}; }
Conv column(std::string name, int64_t out, int64_t size) { return {std::move(name), out, {size, 1}, 1, {size / 2, 0}}; }

// 35 x 35 (Mixed_5b, 5c, 5d).
Branches block_a(int64_t pool_features) {
  return {{kNone, {square("branch1x1", 64, 1)}, {}},
          {kNone, {square("branch5x5_1", 48, 1), square("branch5x5_2", 64, 5)}, {}},
          {kNone, {square("branch3x3dbl_1", 64, 1), square("branch3x3dbl_2", 96, 3), square("branch3x3dbl_3", 96, 3)}, {}},
          {InceptionPool::kAverage, {square("branch_pool", pool_features, 1)}, {}}};
}

// 35 x 35 -> 17 x 17 (Mixed_6a).
Branches block_b() {
  return {{kNone, {shrinking("branch3x3", 384)}, {}},
          {kNone, {square("branch3x3dbl_1", 64, 1), square("branch3x3dbl_2", 96, 3), shrinking("branch3x3dbl_3", 96)}, {}},
          {InceptionPool::kShrink, {}, {}}};
}

// 17 x 17 (Mixed_6b .. 6e): 7 x 7 convolutions as a row and a column.
Branches block_c(int64_t width) {
  return {{kNone, {square("branch1x1", 192, 1)}, {}},
          {kNone, {square("branch7x7_1", width, 1), row("branch7x7_2", width, 7), column("branch7x7_3", 192, 7)}, {}},
          {kNone,
           {square("branch7x7dbl_1", width, 1), column("branch7x7dbl_2", width, 7), row("branch7x7dbl_3", width, 7), column("branch7x7dbl_4", width, 7),
            row("branch7x7dbl_5", 192, 7)},
           {}},
          {InceptionPool::kAverage, {square("branch_pool", 192, 1)}, {}}};
}

// 17 x 17 -> 8 x 8 (Mixed_7a).
Branches block_d() {
  return {{kNone, {square("branch3x3_1", 192, 1), shrinking("branch3x3_2", 320)}, {}},
          {kNone, {square("branch7x7x3_1", 192, 1), row("branch7x7x3_2", 192, 7), column("branch7x7x3_3", 192, 7), shrinking("branch7x7x3_4", 192)}, {}},
          {InceptionPool::kShrink, {}, {}}};
}

// 8 x 8 (Mixed_7b, 7c).
Branches block_e(InceptionPool pool) {
  return {{kNone, {square("branch1x1", 320, 1)}, {}},
          {kNone, {square("branch3x3_1", 384, 1)}, {row("branch3x3_2a", 384, 3), column("branch3x3_2b", 384, 3)}},
          {kNone, {square("branch3x3dbl_1", 448, 1), square("branch3x3dbl_2", 384, 3)}, {row("branch3x3dbl_3a", 384, 3), column("branch3x3dbl_3b", 384, 3)}},
          {pool, {square("branch_pool", 192, 1)}, {}}};
}

}  // namespace

InceptionImpl::InceptionImpl() {
  int64_t width = 3;
  const auto add_stem = [&](const Conv& spec) {
    stem_.push_back(register_module(spec.name, InceptionConv(width, spec)));
    width = spec.out_channels;
  };
  add_stem(shrinking("Conv2d_1a_3x3", 32));
  add_stem({"Conv2d_2a_3x3", 32, {3, 3}, 1, {0, 0}});
  add_stem(square("Conv2d_2b_3x3", 64, 3));
  add_stem(square("Conv2d_3b_1x1", 80, 1));
  add_stem({"Conv2d_4a_3x3", 192, {3, 3}, 1, {0, 0}});
  const auto add_mixed = [&](std::vector<InceptionMixed>& blocks, const char* name, const Branches& branches) {
    blocks.push_back(register_module(name, InceptionMixed(width, branches)));
    width = blocks.back()->out_channels();
  };
  add_mixed(middle_, "Mixed_5b", block_a(32));
  add_mixed(middle_, "Mixed_5c", block_a(64));
  add_mixed(middle_, "Mixed_5d", block_a(64));
  add_mixed(middle_, "Mixed_6a", block_b());
  add_mixed(middle_, "Mixed_6b", block_c(128));
  add_mixed(middle_, "Mixed_6c", block_c(160));
  add_mixed(middle_, "Mixed_6d", block_c(160));
  add_mixed(middle_, "Mixed_6e", block_c(192));
  add_mixed(top_, "Mixed_7a", block_d());
  add_mixed(top_, "Mixed_7b", block_e(InceptionPool::kAverage));
  add_mixed(top_, "Mixed_7c", block_e(InceptionPool::kMax));
  fc = register_module("fc", torch::nn::Linear(width, 1008));
}

at::Tensor InceptionImpl::features(const at::Tensor& images, int64_t dims) {
  check(images.dim() == 4 && (images.size(1) == 1 || images.size(1) == 3), "Inception: images are [{}], wanted [B, 1 or 3, Y, X]",
        fmt::join(images.sizes(), ", "));
  check(std::find(kInceptionDims.begin(), kInceptionDims.end(), dims) != kInceptionDims.end(), "Inception has no layer of {} features, only of {}", dims,
        fmt::join(kInceptionDims, ", "));
  // Resized in [0, 1] as pytorch-fid does it, so that the roundings are the same ones.
  at::Tensor x = at::upsample_bilinear2d((images + 1) / 2, {kImageSize, kImageSize}, /*align_corners=*/false);
  x = x.expand({x.size(0), 3, kImageSize, kImageSize}) * 2 - 1;
  const auto mean = [](const at::Tensor& h) { return h.mean({2, 3}); };
  x = at::max_pool2d(stem_[2](stem_[1](stem_[0](x))), 3, 2);  // [B, 64, 73, 73]
  if (dims == 64) return mean(x);
  x = at::max_pool2d(stem_[4](stem_[3](x)), 3, 2);  // [B, 192, 35, 35]
  if (dims == 192) return mean(x);
  for (InceptionMixed& block : middle_) x = block(x);  // [B, 768, 17, 17]
  if (dims == 768) return mean(x);
  for (InceptionMixed& block : top_) x = block(x);  // [B, 2048, 8, 8]
  return mean(x);
}

namespace {

NamedTensors read_inception_file(const std::filesystem::path& file) {
  const std::string extension = file.extension().string();
  check_input(extension != ".pth" && extension != ".pt" && extension != ".pkl",
              "{}: a PyTorch pickle, which linden does not read. Turn it into safetensors once: scripts/convert_inception {} {}", file.string(), file.string(),
              std::filesystem::path(file).replace_extension(".safetensors").string());
  check_input(std::filesystem::exists(file), "{}: there is no such file of Inception weights; {}", file.string(), kHowToGet);
  check_input(extension == ".safetensors", "{}: wanted Inception weights as a .safetensors file; {}", file.string(), kHowToGet);
  return load_safetensors(file);
}

}  // namespace

Inception load_inception(const std::string& weights, at::Device device) {
  Inception inception;
  if (weights.starts_with("formula:")) {
    set_formula_weights(*inception, formula_seed(weights));
  } else {
    NamedTensors tensors = read_inception_file(weights);
    // How often training saw the layer: no feature depends on it, and files without it are complete.
    for (const auto& [name, tensor] : named_weights(*inception)) {
      if (name.ends_with(".num_batches_tracked")) tensors[name] = tensor;
    }
    load_weights(*inception, tensors, weights, fmt::format("It is no whole Inception v3 in pytorch-fid's layout; {}.", kHowToGet));
  }
  inception->to(device);
  inception->eval();
  for (at::Tensor& parameter : inception->parameters()) parameter.requires_grad_(false);
  return inception;
}

}  // namespace linden
