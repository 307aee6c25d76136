// Any model folder as a function of named tensors, the names being those of the reference's forward().
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace linden {

struct AnyModel {
  std::string class_name;
  std::shared_ptr<torch::nn::Module> module;
  std::vector<std::string> inputs;                           // names of the wanted tensors
  std::function<NamedTensors(const NamedTensors&)> forward;  // on the module's device, in its dtype
};

// The model of a folder by its _class_name, in eval mode. weights: "folder" or "formula:SEED". Throws InputError.
//   UNet2DModel      sample [B, C, Y, X], timestep [B], [1] or []  -> sample
//   MlpDenoiser      sample [B, 2],       timestep [B], [1] or []  -> sample
//   WanTransformer3DModel   hidden_states [B, C, F, Y, X], timestep [B], [1] or [], encoder_hidden_states [B, L, T] -> sample
//   DigitClassifier, DigitJudge, CifarResNet   sample [B, C, Y, X] -> logits, features
// A CifarResNet may be a .safetensors file alone.
AnyModel load_any_model(const std::filesystem::path& folder, const std::string& weights, at::Device device, at::ScalarType dtype);

// Runs the model on `inputs`, which may be on another device and in another dtype. Throws InputError on a
// missing or surplus tensor, and on a sample that is not of a floating dtype.
NamedTensors run_model(const AnyModel& model, const NamedTensors& inputs, at::Device device, at::ScalarType dtype);

}  // namespace linden
