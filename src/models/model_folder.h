// A model folder: config.json (with _class_name) and a safetensors file, the layout of huggingface/diffusers.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"

namespace torch::nn {
class Module;
}

namespace linden {

// Keys that may be null in a config.json. In linden's structs null is 0 or "".
struct NullableKeys {
  std::vector<std::string> numbers, texts;
  // Keys that the reference library does not know: a config.json leaves them out where they have their defaults.
  std::vector<std::string> added = {};
};

// config.json of `folder` as text for from_json(): without the keys that start with an underscore, and with
// null as 0 or "". Throws InputError: no such folder or file, no JSON object, another _class_name.
std::string model_config_text(const std::filesystem::path& folder, const std::string& class_name, const NullableKeys& nullable);
// The same of a JSON object that was read already.
std::string plain_config_text(const std::string& json, const NullableKeys& nullable);
// A .safetensors file that stands for a model on its own.
bool is_weights_file(const std::filesystem::path& model);
// The _class_name of the folder's config.json. A weights file alone is a CifarResNet, whose layout follows from its
// tensors. Throws InputError: no such folder or file, no _class_name.
std::string model_class_name(const std::filesystem::path& model);

// The config of a model folder. Config has kClassName and nullable_keys(). Throws ConfigError on an unknown
// key, a wrong type or a value out of range, with the file and the key.
template <class Config>
Config read_model_config(const std::filesystem::path& folder) {
  Config config;
  const std::string text = model_config_text(folder, Config::kClassName, Config::nullable_keys());
  from_json(text, (folder / "config.json").string(), config);
  return config;
}

// Fills the module from the folder's weight file (weights "folder") or from the formula ("formula:SEED", see
// formula_weights.h). `folder` may be a weights file itself, else the file is diffusion_pytorch_model or model, .safetensors, .fp16.safetensors or sharded
// (.safetensors.index.json); its tensors are converted to the module's dtype. Throws InputError.
void load_model_weights(torch::nn::Module& module, const std::filesystem::path& folder, const std::string& weights = "folder");

// Writes config.json and the weight file (floating tensors as `dtype`): diffusion_pytorch_model.safetensors
// for UNet2DModel and WanTransformer3DModel, model.safetensors for the others. defaults: the config with every key at its
// default.
void save_model_folder(const std::filesystem::path& folder, const std::string& class_name, const std::string& config, const std::string& defaults,
                       const NullableKeys& nullable, const torch::nn::Module& module, at::ScalarType dtype);

template <class Config>
void save_model_folder(const std::filesystem::path& folder, const torch::nn::Module& module, const Config& config, at::ScalarType dtype = at::kFloat) {
  save_model_folder(folder, Config::kClassName, to_json(config), to_json(Config{}), Config::nullable_keys(), module, dtype);
}

}  // namespace linden
