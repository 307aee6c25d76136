// The goldens of the video diffusion transformer, and small models for its tests (scripts/golden/make_video_dit.py).
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <string>

#include "core/files.h"
#include "io/safetensors.h"
#include "models/formula_weights.h"
#include "models/model_folder.h"
#include "models/video_dit.h"
#include "tests/support/support.h"

namespace linden::test {

// In [-1, 1), the same bits on both sides.
inline at::Tensor uniform(const std::string& name, at::IntArrayRef shape, uint64_t seed) {
  return 8 * formula_tensor(name, {c10::multiply_integers(shape)}, seed).view(shape);
}

inline std::string video_golden_path(const std::string& name) { return "tests/golden/models/video_dit_" + name + ".safetensors"; }

struct VideoCase {
  VideoDitConfig config;
  uint64_t seed = 0;
  double bf16_error = 0;
  at::Tensor latents, timestep, text;
  NamedTensors wanted;
};

inline VideoCase read_video_case(const std::string& name) {
  const SafetensorsFile file(video_golden_path(name));
  const TemporaryFolder folder;
  write_file_atomically(folder / "config.json", file.metadata().at("config"));
  VideoCase result;
  result.config = read_model_config<VideoDitConfig>(folder.path);
  result.seed = std::stoull(file.metadata().at("seed"));
  result.bf16_error = std::stod(file.metadata().at("bf16_error"));
  result.wanted = load_safetensors(video_golden_path(name));
  const at::Tensor& sample = result.wanted.at("sample");
  result.timestep = result.wanted.at("timestep");
  result.latents = uniform("hidden_states", {sample.size(0), result.config.in_channels, sample.size(2), sample.size(3), sample.size(4)}, result.seed);
  result.text = uniform("encoder_hidden_states", {sample.size(0), std::stoll(file.metadata().at("text_tokens")), result.config.text_dim}, result.seed);
  return result;
}

// Formula weights; a gate is set to `gate`.
inline VideoDit make_video_dit(const VideoDitConfig& config, uint64_t seed, double gate = 0.3) {
  VideoDit model(config);
  set_formula_weights(*model, seed);
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters())
    if (item.key().ends_with("attn1.gate")) item.value().fill_(gate);
  return model;
}

}  // namespace linden::test
