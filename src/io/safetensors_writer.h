// Writes a safetensors file whose tensors arrive one after the other, so that no more than a piece of one is in memory.
//
// The layout is the reference's (huggingface/safetensors, safetensors/src/tensor.rs, `prepare`): data sorted by dtype
// (wider elements first) and then by name, the header in the same order and padded to 8 bytes. The same tensors and
// metadata give the same bytes as its Python package.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "io/pending_file.h"
#include "io/safetensors.h"

namespace linden {

class SafetensorsWriter {
 public:
  // Creates the temporary file and writes the header. CheckError: a name twice or no UTF-8, a dtype that the format lacks.
  // std::runtime_error with the system's reason, here and below.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors, const Metadata& metadata = {});
  // In file order: the data of the first, then of the second ...
  const std::vector<TensorSpec>& order() const { return order_; }
  void write(std::string_view bytes);
  void commit();  // CheckError unless all bytes came

 private:
  std::vector<TensorSpec> order_;
  PendingFile file_;
  uint64_t remaining_ = 0;
};

// Splits tensors into files of at most `max_bytes` of data, in the given order and as the reference does
// (huggingface/huggingface_hub, serialization/_base.py): a tensor that is larger stands alone in a file.
std::vector<std::vector<TensorSpec>> split_into_shards(const std::vector<TensorSpec>& tensors, uint64_t max_bytes);

}  // namespace linden
