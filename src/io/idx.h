// IDX files (MNIST), plain or gzip. Format: yann.lecun.com/exdb/mnist ("THE IDX FILE FORMAT").
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace linden {

// u8 tensor of the stored shape. InputError: missing, truncated, wrong magic, trailing bytes, other element types.
at::Tensor read_idx(const std::filesystem::path& path);
void write_idx(const std::filesystem::path& path, const at::Tensor& array, bool gzip);

}  // namespace linden
