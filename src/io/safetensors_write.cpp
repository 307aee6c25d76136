#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/pending_file.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"

namespace linden {
namespace {

std::string header_text(const NamedTensors& tensors, const Metadata& metadata) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    check(name != "__metadata__", "save_safetensors: a tensor cannot have the name __metadata__");
    check(tensor.defined() && tensor.layout() == at::kStrided, "save_safetensors: tensor {} is undefined or sparse",
          quoted_name(name));
    const auto dtype = safetensors_dtype_name(tensor.scalar_type());
    check(dtype.has_value(), "save_safetensors: tensor {} has the dtype {}, which the format lacks", quoted_name(name),
          at::toString(tensor.scalar_type()));
    const uint64_t end = offset + static_cast<uint64_t>(tensor.numel()) * c10::elementSize(tensor.scalar_type());
    header[name] = {{"dtype", *dtype}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& problem) {
    throw CheckError(fmt::format("save_safetensors: a name or a metadata text is not UTF-8: {}", problem.what()));
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts at a multiple of 8
  check(text.size() <= kMaxSafetensorsHeader, "save_safetensors: the header has {} bytes, allowed {}", text.size(),
        kMaxSafetensorsHeader);
  return text;
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  const std::string header = header_text(tensors, metadata);
  char size[8];
  for (int i = 0; i < 8; ++i) size[i] = static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  PendingFile file(path);
  file.write(size, sizeof size);
  file.write(header);
  for (const auto& [name, tensor] : tensors) {  // one tensor at a time on the CPU
    const at::Tensor plain = tensor.detach().to(at::kCPU).resolve_conj().resolve_neg().contiguous();
    file.write(plain.const_data_ptr(), plain.nbytes());
  }
  file.commit();
}

}  // namespace linden
