#include "models/model_digest.h"

#include <ATen/Parallel.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "io/digest.h"
#include "io/safetensors_set.h"
#include "models/text_encoder.h"
#include "models/video_dit_config.h"
#include "models/wan_checkpoint.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

std::string sha256(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text.data(), text.size()))); }

// A line a tensor, by name. Tensors are hashed side by side.
std::string tensor_lines(const SafetensorsSet& files, const std::vector<std::string>& names,
                         const std::function<std::string(const std::string&)>& stored_name) {
  std::vector<std::string> lines(names.size());
  at::parallel_for(0, static_cast<int64_t>(names.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::string& name = names[static_cast<size_t>(i)];
      const std::string stored = stored_name(name);
      const TensorSpec spec = files.spec(stored);
      lines[static_cast<size_t>(i)] = fmt::format("{} {} [{}] {}\n", name, c10::toString(spec.dtype), fmt::join(spec.shape, ", "), sha256(files.bytes(stored)));
    }
  });
  return fmt::format("{}", fmt::join(lines, ""));
}

std::string transformer_text(const fs::path& folder, bool with_tensors) {
  VideoDitConfig config;
  if (model_class_name(folder) == VideoDitConfig::kClassName) {
    config = read_model_config<VideoDitConfig>(folder);
    if (!with_tensors) return to_json(config);
    const SafetensorsSet files(folder);
    return to_json(config) + tensor_lines(files, files.names(), [](const std::string& name) { return name; });
  }
  const WanCheckpoint checkpoint(folder);
  from_json(checkpoint.config_text(VideoDitConfig::nullable_keys()), (folder / "config.json").string(), config);
  if (!with_tensors) return to_json(config);
  return to_json(config) + tensor_lines(checkpoint.files(), checkpoint.names(), [&](const std::string& name) { return checkpoint.stored_name(name); });
}

std::string text_encoder_text(const fs::path& folder, bool with_tensors) {
  const std::string config = model_config_text(folder, model_class_name(folder), {});
  if (!with_tensors) return config;
  const SafetensorsSet files(folder);
  return config + tensor_lines(files, files.names(), [](const std::string& name) { return name; });
}

}  // namespace

std::string video_model_digest(const fs::path& folder, const std::string& weights) {
  const bool with_tensors = weights == "folder";
  return sha256(fmt::format("transformer\n{}\ntext_encoder\n{}\n{}", transformer_text(folder / "transformer", with_tensors),
                            text_encoder_text(folder / "text_encoder", with_tensors), with_tensors ? "" : weights));
}

}  // namespace linden
