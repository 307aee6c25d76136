#include "models/inception_blocks.h"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

namespace linden {
namespace {

at::Tensor pooled(InceptionPool pool, const at::Tensor& x) {
  switch (pool) {
    case InceptionPool::kNone: return x;
    case InceptionPool::kAverage: return at::avg_pool2d(x, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false);
    case InceptionPool::kMax: return at::max_pool2d(x, 3, 1, 1);
    case InceptionPool::kShrink: return at::max_pool2d(x, 3, 2);
  }
  return x;
}

}  // namespace

InceptionConvImpl::InceptionConvImpl(int64_t in_channels, const InceptionConvSpec& spec) {
  conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, spec.out_channels, {spec.kernel[0], spec.kernel[1]})
                                                       .stride(spec.stride)
                                                       .padding({spec.padding[0], spec.padding[1]})
                                                       .bias(false)));
  bn = register_module("bn", torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(spec.out_channels).eps(1e-3)));
}

at::Tensor InceptionConvImpl::forward(const at::Tensor& x) { return at::relu(bn(conv(x))); }

InceptionMixedImpl::InceptionMixedImpl(int64_t in_channels, std::vector<InceptionBranchSpec> branches) {
  for (const InceptionBranchSpec& spec : branches) {
    Branch branch{spec.pool, {}, {}};
    int64_t width = in_channels, joined = 0;
    for (const InceptionConvSpec& conv : spec.chain) {
      branch.chain.push_back(register_module(conv.name, InceptionConv(width, conv)));
      width = conv.out_channels;
    }
    for (const InceptionConvSpec& conv : spec.fork) {
      branch.fork.push_back(register_module(conv.name, InceptionConv(width, conv)));
      joined += conv.out_channels;
    }
    out_channels_ += spec.fork.empty() ? width : joined;
    branches_.push_back(std::move(branch));
  }
}

at::Tensor InceptionMixedImpl::forward(const at::Tensor& x) {
  std::vector<at::Tensor> outputs;
  for (Branch& branch : branches_) {
    at::Tensor h = pooled(branch.pool, x);
    for (InceptionConv& conv : branch.chain) h = conv(h);
    if (branch.fork.empty()) outputs.push_back(h);
    for (InceptionConv& conv : branch.fork) outputs.push_back(conv(h));
  }
  return at::cat(outputs, 1);
}

}  // namespace linden
