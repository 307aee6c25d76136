#include "models/wan_checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/safetensors_header.h"
#include "models/wan_config.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

const char* const kConfig = "config.json";

// The folder of config.json. Of a pipeline only its transformer is read, and it has to be one of Wan.
fs::path transformer_folder(const fs::path& model) {
  std::error_code ignored;
  check_input(fs::exists(model, ignored), "{}: there is no such file or folder", model.string());
  if (!fs::is_directory(model, ignored)) return model.has_parent_path() ? model.parent_path() : fs::path(".");
  const fs::path index = model / "model_index.json";
  if (!fs::exists(index, ignored)) return model;
  const auto json = nlohmann::json::parse(read_text_file(index), nullptr, /*allow_exceptions=*/false);
  check_input(json.is_object() && json.contains("_class_name") && json["_class_name"].is_string(), "{}: is no JSON object with a \"_class_name\"",
              index.string());
  const auto name = json["_class_name"].get<std::string>();
  check_input(name == "WanPipeline", "{}: _class_name is {}, wanted WanPipeline (text to video of Wan 2.1)", index.string(), quoted_name(name));
  const bool second =
      json.contains("transformer_2") && json["transformer_2"].is_array() && !json["transformer_2"].empty() && !json["transformer_2"].front().is_null();
  check_input(!second, "{}: the pipeline has two transformers (Wan 2.2); name the folder of one of them", index.string());
  return model / "transformer";
}

std::string read_config_file(const fs::path& folder) {
  std::error_code ignored;
  check_input(fs::exists(folder / kConfig, ignored),
              "{}: there is no config.json, which says how many blocks and channels the network has; a checkpoint of Wan is a "
              "folder with config.json and .safetensors files",
              folder.string());
  return read_text_file(folder / kConfig);
}

}  // namespace

WanCheckpoint::WanCheckpoint(const fs::path& model)
    : folder_(transformer_folder(model)),
      config_file_(read_config_file(folder_)),
      naming_(wan_config_naming(config_file_, (folder_ / kConfig).string())),
      sizes_(wan_sizes(config_file_, (folder_ / kConfig).string())),
      files_(fs::is_directory(model) ? folder_ : model) {
  check_tensors();
}

void WanCheckpoint::check_tensors() const {
  TensorShapes given;
  for (const std::string& name : files_.names()) {
    if (!is_linear_attention_tensor(name, naming_)) given[name] = files_.spec(name).shape;
  }
  check_fit(compare_shapes(wan_shapes(sizes_, naming_), given), files_.path().string(),
            fmt::format("Check that {} belongs to these weights and that they have the names of {}.", (folder_ / kConfig).string(),
                        naming_ == WanNaming::kDiffusers ? "diffusers" : "the original code"));
}

std::string WanCheckpoint::config_text(const NullableKeys& nullable) const {
  return plain_config_text(convert_wan_config(config_file_, (folder_ / kConfig).string(), WanNaming::kDiffusers), nullable);
}

std::vector<std::string> WanCheckpoint::names() const {
  std::vector<std::string> names;
  for (const std::string& stored : files_.names()) names.push_back(*wan_name(stored, naming_, WanNaming::kDiffusers));
  std::sort(names.begin(), names.end());
  return names;
}

std::string WanCheckpoint::stored_name(const std::string& name) const {
  const auto stored = wan_name(name, WanNaming::kDiffusers, naming_);
  check(stored.has_value(), "WanCheckpoint: {} is no name of a tensor in diffusers", quoted_name(name));
  return *stored;
}

at::Tensor WanCheckpoint::tensor(const std::string& name) const { return files_.tensor(stored_name(name)); }

NamedTensors WanCheckpoint::tensors() const {
  NamedTensors tensors;
  for (const std::string& name : names()) tensors.emplace(name, tensor(name));
  return tensors;
}

bool is_wan_checkpoint(const fs::path& model) {
  try {
    const fs::path folder = transformer_folder(model);
    wan_config_naming(read_config_file(folder), (folder / kConfig).string());
    return true;
  } catch (const InputError&) { return false; }
}

}  // namespace linden
