#include "models/model_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/safetensors.h"
#include "models/formula_weights.h"
#include "models/weights.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// The only network whose layout follows from its tensors (models/cifar_resnet.h).
const char* const kClassOfWeightsFiles = "CifarResNet";
const std::string kDiffusionWeights = "diffusion_pytorch_model", kOtherWeights = "model";

Json read_object(const fs::path& file) {
  Json json = Json::parse(read_text_file(file), nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  check_input(!json.is_discarded(), "{}: not valid JSON", file.string());
  check_input(json.is_object(), "{}: is {}, wanted an object", file.string(), json.type_name());
  return json;
}

Json read_config_object(const fs::path& folder) {
  check_input(fs::is_directory(folder), "{}: no such model folder", folder.string());
  check_input(fs::exists(folder / "config.json"), "{}: there is no config.json; a model folder holds config.json and a .safetensors file", folder.string());
  return read_object(folder / "config.json");
}

std::string class_name_of(const Json& json, const fs::path& folder) {
  check_input(json.contains("_class_name") && json["_class_name"].is_string(), "{}: there is no \"_class_name\", which says what kind of model this is",
              (folder / "config.json").string());
  return json["_class_name"].get<std::string>();
}

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

fs::path find_weight_file(const fs::path& folder) {
  for (const std::string& stem : {kDiffusionWeights, kOtherWeights}) {
    for (const char* ending : {".safetensors", ".safetensors.index.json", ".fp16.safetensors"}) {
      if (fs::exists(folder / (stem + ending))) return folder / (stem + ending);
    }
  }
  throw InputError(
      fmt::format("{0}: there are no weights ({1}.safetensors or {2}.safetensors, or either as .safetensors.index.json or "
                  ".fp16.safetensors); put the file there, or ask for weights \"formula:SEED\" to run the layout alone",
                  folder.string(), kDiffusionWeights, kOtherWeights));
}

}  // namespace

bool is_weights_file(const fs::path& model) { return fs::is_regular_file(model) && model.extension() == ".safetensors"; }

std::string model_class_name(const fs::path& model) {
  if (is_weights_file(model)) return kClassOfWeightsFiles;
  return class_name_of(read_config_object(model), model);
}

std::string model_config_text(const fs::path& folder, const std::string& class_name, const NullableKeys& nullable) {
  const Json json = read_config_object(folder);
  const std::string found = class_name_of(json, folder);
  check_input(found == class_name, "{}: _class_name is {}, wanted {}", (folder / "config.json").string(), found, class_name);
  return plain_config_text(json.dump(), nullable);
}

std::string plain_config_text(const std::string& json_text, const NullableKeys& nullable) {
  const Json json = Json::parse(json_text);
  Json plain = Json::object();
  for (const auto& [key, value] : json.items()) {
    if (key.starts_with("_")) continue;
    plain[key] = value;
    if (value.is_null() && contains(nullable.numbers, key)) plain[key] = 0;
    if (value.is_null() && contains(nullable.texts, key)) plain[key] = "";
  }
  return plain.dump();
}

void load_model_weights(torch::nn::Module& module, const fs::path& folder, const std::string& weights) {
  if (weights != "folder") {
    set_formula_weights(module, formula_seed(weights));
    return;
  }
  const fs::path file = is_weights_file(folder) ? folder : find_weight_file(folder);
  load_weights(module, load_safetensors(file), file.string());
}

void save_model_folder(const fs::path& folder, const std::string& class_name, const std::string& config, const std::string& defaults,
                       const NullableKeys& nullable, const torch::nn::Module& module, at::ScalarType dtype) {
  fs::create_directories(folder);
  Json json = Json::object();
  json["_class_name"] = class_name;
  const Json plain = Json::parse(config), plain_defaults = Json::parse(defaults);
  for (const auto& [key, value] : plain.items()) {
    if (contains(nullable.added, key) && value == plain_defaults[key]) continue;
    const bool is_null = (contains(nullable.numbers, key) && value == 0) || (contains(nullable.texts, key) && value == "");
    json[key] = is_null ? Json() : value;
  }
  NamedTensors tensors;
  for (const auto& [name, tensor] : named_weights(module)) {
    const at::Tensor stored = tensor.detach().to(at::kCPU).contiguous();
    tensors[name] = stored.is_floating_point() ? stored.to(dtype) : stored;
  }
  const bool is_diffusion = class_name == "UNet2DModel" || class_name == "WanTransformer3DModel";
  const std::string& stem = is_diffusion ? kDiffusionWeights : kOtherWeights;
  save_safetensors(folder / (stem + ".safetensors"), tensors, {{"format", "pt"}});
  write_file_atomically(folder / "config.json", json.dump(2) + "\n");
}

}  // namespace linden
