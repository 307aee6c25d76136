#include "models/video_dit_embedding.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>

#include "nn/trace.h"

namespace linden {

PatchEmbeddingImpl::PatchEmbeddingImpl(const VideoDitConfig& c) {
  const std::vector<int64_t>& p = c.patch_size;
  weight = register_parameter("weight", at::empty({model_width(c), c.in_channels, p[0], p[1], p[2]}));
  bias = register_parameter("bias", at::empty({model_width(c)}));
  const at::NoGradGuard no_grad;
  const double bound = 1 / std::sqrt(static_cast<double>(c.in_channels * p[0] * p[1] * p[2]));  // as a linear layer starts
  weight.uniform_(-bound, bound);
  bias.uniform_(-bound, bound);
}

at::Tensor PatchEmbeddingImpl::forward(const at::Tensor& latents) {
  const int64_t B = latents.size(0), C = latents.size(1), pf = weight.size(2), py = weight.size(3), px = weight.size(4);
  const int64_t f = latents.size(2) / pf, y = latents.size(3) / py, x = latents.size(4) / px;
  const at::Tensor patches =
      latents.to(weight.scalar_type()).reshape({B, C, f, pf, y, py, x, px}).permute({0, 2, 4, 6, 1, 3, 5, 7}).reshape({B, f * y * x, C * pf * py * px});
  const at::Tensor tokens = at::linear(patches, weight.flatten(1), bias);
  linden::trace(tokens.transpose(1, 2).unflatten(2, {f, y, x}));
  return tokens;
}

at::Tensor unpatchify(const at::Tensor& tokens, const VideoGrid& grid, const std::vector<int64_t>& p) {
  return tokens.reshape({tokens.size(0), grid[0], grid[1], grid[2], p[0], p[1], p[2], -1})
      .permute({0, 7, 1, 4, 2, 5, 3, 6})
      .reshape({tokens.size(0), -1, grid[0] * p[0], grid[1] * p[1], grid[2] * p[2]});
}

TextProjectionImpl::TextProjectionImpl(int64_t text_dim, int64_t width) {
  linear_1 = register_module("linear_1", Linear(text_dim, width));
  linear_2 = register_module("linear_2", Linear(width, width));
}

at::Tensor TextProjectionImpl::forward(const at::Tensor& text) {
  const at::Tensor out = linear_2(at::gelu(linear_1(text.to(linear_1->weight.scalar_type())), "tanh"));
  linden::trace(out);
  return out;
}

ConditionEmbedderImpl::ConditionEmbedderImpl(const VideoDitConfig& c) {
  const int64_t M = model_width(c);
  timesteps_proj = register_module("timesteps_proj", SinusoidalEmbedding(SinusoidalEmbeddingOptions{c.freq_dim, /*cos_first=*/true, /*freq_shift=*/0}));
  time_embedder = register_module("time_embedder", std::make_shared<KeepsFp32<TimestepEmbeddingImpl>>(c.freq_dim, M));
  time_proj = register_module("time_proj", std::make_shared<KeepsFp32<LinearImpl>>(M, 6 * M));
  text_embedder = register_module("text_embedder", TextProjection(c.text_dim, M));
}

TimeModulation ConditionEmbedderImpl::embed_time(const at::Tensor& timestep) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  at::Tensor waves, embedding, projection;
  {
    TraceScope scope("timesteps_proj");
    waves = timesteps_proj(timestep);
  }
  {
    TraceScope scope("time_embedder");
    embedding = time_embedder->forward(waves.to(time_proj->weight.scalar_type()));
  }
  TraceScope scope("time_proj");
  projection = time_proj->forward(at::silu(embedding));
  linden::trace(projection);
  return {embedding, projection.unflatten(1, {6, -1})};
}

at::Tensor ConditionEmbedderImpl::embed_text(const at::Tensor& text) {
  TraceScope scope("text_embedder");
  return text_embedder(text);
}

}  // namespace linden
