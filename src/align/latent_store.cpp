#include "align/latent_store.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/logging.h"

namespace linden {
namespace {
constexpr int64_t kChunkRows = 1024;  // a 32x32 image: 4 MiB a chunk; small enough to spill finely
}

LatentStore::LatentStore(std::vector<int64_t> shape, at::ScalarType dtype, at::Device device, int64_t device_bytes)
    : shape_(std::move(shape)),
      dtype_(dtype),
      device_(device),
      device_bytes_(device_bytes) {}

int64_t LatentStore::append(const at::Tensor& rows) {
  const int64_t first = size_;
  for (int64_t done = 0; done < rows.size(0);) {
    const int64_t within = size_ % kChunkRows;
    if (size_ / kChunkRows == static_cast<int64_t>(chunks_.size())) {
      std::vector<int64_t> shape = {kChunkRows};
      shape.insert(shape.end(), shape_.begin(), shape_.end());
      int64_t bytes = static_cast<int64_t>(c10::elementSize(dtype_)) * kChunkRows;
      for (int64_t extent : shape_) bytes *= extent;
      at::Device where = device_;
      if (!device_.is_cpu() && used_device_bytes_ + bytes > device_bytes_) {
        if (bytes_on_cpu() == 0) log_info("tree: latents beyond {} MiB go to the CPU", device_bytes_ >> 20);
        where = at::kCPU;
      }
      if (!where.is_cpu()) used_device_bytes_ += bytes;
      chunks_.push_back(at::empty(shape, at::TensorOptions().dtype(dtype_).device(where)));
    }
    const int64_t count = std::min(kChunkRows - within, rows.size(0) - done);
    chunks_[size_ / kChunkRows].narrow(0, within, count).copy_(rows.narrow(0, done, count));
    size_ += count;
    done += count;
  }
  return first;
}

at::Tensor LatentStore::gather(std::span<const int64_t> rows) const {
  std::vector<at::Tensor> views;
  views.reserve(rows.size());
  for (int64_t row : rows) {
    check(row >= 0 && row < size_, "LatentStore::gather: row {} of {}", row, size_);
    at::Tensor view = chunks_[row / kChunkRows].select(0, row % kChunkRows);
    views.push_back(view.device() == device_ ? view : view.to(device_));
  }
  return at::stack(views);
}

at::Tensor LatentStore::all_on_cpu() const {
  std::vector<int64_t> shape = {size_};
  shape.insert(shape.end(), shape_.begin(), shape_.end());
  at::Tensor all = at::empty(shape, at::TensorOptions().dtype(dtype_));
  for (int64_t first = 0; first < size_; first += kChunkRows) {
    const int64_t count = std::min(kChunkRows, size_ - first);
    all.narrow(0, first, count).copy_(chunks_[first / kChunkRows].narrow(0, 0, count));
  }
  return all;
}

int64_t LatentStore::bytes_on_cpu() const {
  int64_t bytes = 0;
  if (!device_.is_cpu())
    for (const at::Tensor& chunk : chunks_)
      if (chunk.is_cpu()) bytes += static_cast<int64_t>(chunk.nbytes());
  return bytes;
}

void LatentStore::truncate(int64_t size) {
  check(size <= size_, "LatentStore::truncate: {} rows of {}", size, size_);
  size_ = size;  // chunks stay: the next rows use them
}

}  // namespace linden
