// The JSON header of a safetensors file, parsed and validated; bytes in, numbers that can be trusted out.
// Format: huggingface/safetensors README ("Format") and safetensors/src/tensor.rs (what `validate` asks).
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace linden {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // bytes, as in the reference
inline constexpr size_t kMaxSafetensorsRank = 64;

// "F32" <-> at::kFloat; nothing where the format or LibTorch lacks the type.
std::optional<at::ScalarType> safetensors_dtype(std::string_view name);
std::optional<std::string> safetensors_dtype_name(at::ScalarType dtype);
// Place of a dtype in the order in which the reference writes a file's tensors (by this, then by name).
int safetensors_rank(at::ScalarType dtype);

struct SafetensorsEntry {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes from the start of the data, not of the file
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
  uint64_t data_start = 0;  // bytes from the start of the file
};

// `file`: the bytes of the whole file; `origin` names it in messages. After it returns, every entry lies
// inside the file, has exactly the bytes of its shape and dtype, and the entries cover the data without
// overlap or hole. Throws InputError.
SafetensorsHeader parse_safetensors_header(const std::string& origin, std::string_view file);

// A name from outside, fit for a message: quoted and at most about 100 characters.
std::string quoted_name(std::string_view name);

}  // namespace linden
