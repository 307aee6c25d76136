#include "models/cifar_resnet.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "nn/trace.h"

namespace linden {
namespace {

constexpr int64_t kStages = 3, kFirstChannels = 16, kLastChannels = 64;
// Of RGB in [0, 1], as the published weights were trained.
constexpr double kMean[3] = {0.485, 0.456, 0.406}, kDeviation[3] = {0.229, 0.224, 0.225};

torch::nn::Conv2d conv3x3(int64_t in_channels, int64_t out_channels, int64_t stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, 3).stride(stride).padding(1).bias(false));
}

// relu(bn1(conv1)), bn2(conv2), + shortcut, relu.
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t in_channels, int64_t out_channels, int64_t stride) : stride_(stride), added_channels_(out_channels - in_channels) {
    conv1 = register_module("conv1", conv3x3(in_channels, out_channels, stride));
    bn1 = register_module("bn1", FixedBatchNorm(out_channels));
    conv2 = register_module("conv2", conv3x3(out_channels, out_channels, 1));
    bn2 = register_module("bn2", FixedBatchNorm(out_channels));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor h = bn2(conv2(at::relu(bn1(conv1(x)))));
    return at::relu(h + shortcut(x));
  }

 private:
  // Option A: every second row and column; zeros on both sides of the old channels.
  at::Tensor shortcut(const at::Tensor& x) const {
    if (stride_ == 1 && added_channels_ == 0) return x;
    const int64_t each_side = added_channels_ / 2;
    return at::constant_pad_nd(x.slice(2, 0, {}, stride_).slice(3, 0, {}, stride_), {0, 0, 0, 0, each_side, each_side});
  }

  int64_t stride_, added_channels_;
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  FixedBatchNorm bn1{nullptr}, bn2{nullptr};
};
TORCH_MODULE(Block);

torch::nn::Sequential make_stage(int64_t in_channels, int64_t out_channels, int64_t num_blocks, int64_t stride) {
  torch::nn::Sequential stage;
  stage->push_back(Block(in_channels, out_channels, stride));
  for (int64_t i = 1; i < num_blocks; ++i) stage->push_back(Block(out_channels, out_channels, 1));
  return stage;
}

}  // namespace

void visit_fields(FieldVisitor& v, CifarResNetConfig& c) {
  visit(v, Field("depth", "layers with weights: 6 n + 2 (20, 32, 44, 56, 110)").at_least(8), c.depth);
  visit(v, Field("num_classes", "classes").at_least(2), c.num_classes);
}

FixedBatchNormImpl::FixedBatchNormImpl(int64_t channels) {
  weight = register_parameter("weight", at::ones({channels}));
  bias = register_parameter("bias", at::zeros({channels}));
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
}

at::Tensor FixedBatchNormImpl::forward(const at::Tensor& x) {
  return at::batch_norm(x, weight, bias, running_mean, running_var, /*training=*/false, /*momentum=*/0, /*eps=*/1e-5, /*cudnn_enabled=*/true);
}

CifarResNetImpl::CifarResNetImpl(const CifarResNetConfig& config) : config_(config) {
  if ((config.depth - 2) % (2 * kStages) != 0) throw ConfigError(fmt::format("CifarResNet: depth is {}, wanted 6 n + 2 (20, 32, 44, 56, 110)", config.depth));
  const int64_t num_blocks = (config.depth - 2) / (2 * kStages);
  conv1 = register_module("conv1", conv3x3(3, kFirstChannels, 1));
  bn1 = register_module("bn1", FixedBatchNorm(kFirstChannels));
  layer1 = register_module("layer1", make_stage(16, 16, num_blocks, 1));
  layer2 = register_module("layer2", make_stage(16, 32, num_blocks, 2));
  layer3 = register_module("layer3", make_stage(32, 64, num_blocks, 2));
  linear = register_module("linear", torch::nn::Linear(kLastChannels, config.num_classes));
}

int64_t CifarResNetImpl::num_features() const { return kLastChannels; }

at::Tensor CifarResNetImpl::features(const at::Tensor& x) {
  check(x.dim() == 4 && x.size(1) == 3 && x.size(2) == 32 && x.size(3) == 32, "CifarResNet: x is [{}], wanted [B, 3, 32, 32]", fmt::join(x.sizes(), ", "));
  // ((x + 1) / 2 - mean) / deviation
  const auto a_channel = [&](double r, double g, double b) { return at::tensor({r, g, b}, x.options()).view({1, 3, 1, 1}); };
  const at::Tensor scale = a_channel(0.5 / kDeviation[0], 0.5 / kDeviation[1], 0.5 / kDeviation[2]);
  const at::Tensor offset = a_channel((0.5 - kMean[0]) / kDeviation[0], (0.5 - kMean[1]) / kDeviation[1], (0.5 - kMean[2]) / kDeviation[2]);
  at::Tensor h = at::relu(bn1(conv1(x * scale + offset)));
  int64_t number = 1;
  for (torch::nn::Sequential* stage : {&layer1, &layer2, &layer3}) {
    h = (*stage)->forward(h);
    TraceScope scope(fmt::format("layer{}", number++));
    linden::trace(h);
  }
  return h.mean({2, 3});
}

at::Tensor CifarResNetImpl::logits(const at::Tensor& x) {
  const at::Tensor result = linear(features(x));
  TraceScope scope("linear");
  linden::trace(result);
  return result;
}

void CifarResNetImpl::save(const std::filesystem::path& folder, at::ScalarType dtype) const { save_model_folder(folder, *this, config_, dtype); }

CifarResNetConfig cifar_resnet_config(const NamedTensors& weights, const std::string& origin) {
  int64_t num_blocks = 0;
  while (weights.contains(fmt::format("layer1.{}.conv1.weight", num_blocks))) ++num_blocks;
  const auto linear = weights.find("linear.weight");
  check_input(num_blocks > 0 && linear != weights.end() && linear->second.dim() == 2 && linear->second.size(0) >= 2,
              "{}: these are not the weights of a CifarResNet (wanted layer1.0.conv1.weight ... linear.weight [classes, 64], the names of "
              "akamaster/pytorch_resnet_cifar10), the only network that is known by its weights alone; another one needs a model folder with a config.json",
              origin);
  return {2 * kStages * num_blocks + 2, linear->second.size(0)};
}

}  // namespace linden
