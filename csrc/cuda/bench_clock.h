// What the kernels' timing programs share: median times, the card's own copy rate, memory that rotates through more than L2.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace linden::cuda {

constexpr size_t kRotated = 256u << 20;  // bytes of a region: more than the L2 of any card
constexpr int kRepeats = 60;

// Median time of one call in microseconds; `call` gets the number of the call.
template <class Call>
double median_us(cudaStream_t stream, Call&& call) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < kRepeats + 10; ++i) {
    cudaEventRecord(begin, stream);
    for (int j = 0; j < 4; ++j) call(4 * i + j);
    cudaEventRecord(end, stream);
    cudaEventSynchronize(end);
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (i >= 10) times.push_back(ms * 250);
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

// Regions of at least kRotated bytes, full of numbers that are finite in every type.
class Regions {
 public:
  Regions(int count, size_t tensor_bytes) : tensor_bytes_(tensor_bytes), slots_(std::max<size_t>(1, kRotated / tensor_bytes)) {
    cudaMalloc(&memory_, count * slots_ * tensor_bytes_);
    cudaMemset(memory_, 0x3c, count * slots_ * tensor_bytes_);
  }
  ~Regions() { cudaFree(memory_); }
  Regions(const Regions&) = delete;
  Regions& operator=(const Regions&) = delete;
  // Tensor of a region for call i.
  void* at(int region, int i) const { return memory_ + (region * slots_ + i % slots_) * tensor_bytes_; }

 private:
  char* memory_ = nullptr;
  size_t tensor_bytes_, slots_;
};

// Bytes a microsecond (so MB/s), read and written, of a copy on the card.
inline double copy_rate(cudaStream_t stream) {
  const Regions regions(4, kRotated);
  const double us =
      median_us(stream, [&](int i) { cudaMemcpyAsync(regions.at(i % 2 * 2 + 1, 0), regions.at(i % 2 * 2, 0), kRotated, cudaMemcpyDeviceToDevice, stream); });
  return 2.0 * kRotated / us;
}

}  // namespace linden::cuda
