#include "transfer/networks.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "models/video_model.h"

namespace linden {
namespace {

constexpr double kTimestepsOfSigma = 1000;

}  // namespace

VelocityAt velocity_of(VideoDit network, const CaptionBatch& captions, const GuidanceConfig* guidance) {
  return [network, captions, guidance](const at::Tensor& x, const at::Tensor& sigma) mutable {
    const bool without_gradient = !at::GradMode::is_enabled();
    const at::Tensor timestep = kTimestepsOfSigma * sigma;
    const at::Tensor velocity = guidance ? guided_velocity(network, *guidance, x, timestep, captions.text, captions.none.expand_as(captions.text))
                                         : network(x, timestep, captions.text).to(at::kFloat);
    if (without_gradient) at::autocast::clear_cache();
    return velocity;
  };
}

double velocity_gap(VideoDit student, VideoDit teacher, const at::Tensor& x, const at::Tensor& sigma, const CaptionBatch& captions) {
  const at::NoGradGuard no_grad;
  const at::Tensor wanted = velocity_of(teacher, captions, nullptr)(x, sigma), got = velocity_of(student, captions, nullptr)(x, sigma);
  const at::Tensor error = (got - wanted).square().flatten(1).sum(1) / wanted.square().flatten(1).sum(1);
  return error.to(at::kDouble).mean().item<double>();
}

}  // namespace linden
