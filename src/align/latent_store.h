// Latents of tree nodes in chunks: on the denoiser's device while they fit, on the CPU beyond that.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace linden {

class LatentStore {
 public:
  // shape: of one state. `device_bytes`: how much may lie on `device`; chunks beyond it go to the CPU.
  LatentStore(std::vector<int64_t> shape, at::ScalarType dtype, at::Device device, int64_t device_bytes);
  int64_t size() const { return size_; }
  const std::vector<int64_t>& shape() const { return shape_; }  // of one row
  // Appends rows [n, ...]; returns the number of the first.
  int64_t append(const at::Tensor& rows);
  // [n, ...] on the device.
  at::Tensor gather(std::span<const int64_t> rows) const;
  // Every row on the CPU, [size, ...].
  at::Tensor all_on_cpu() const;
  int64_t bytes_on_cpu() const;  // what was spilled
  void truncate(int64_t size);   // drops the newest rows

 private:
  std::vector<int64_t> shape_;
  at::ScalarType dtype_;
  at::Device device_;
  int64_t device_bytes_, used_device_bytes_ = 0, size_ = 0;
  std::vector<at::Tensor> chunks_;  // [kChunkRows, ...] each
};

}  // namespace linden
