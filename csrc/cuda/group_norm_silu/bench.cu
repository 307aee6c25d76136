// Times the group norm kernels at the shapes of the 32x32 U-Nets and prints the share of the card's own copy rate.
//   nvcc -std=c++20 -O2 -arch=native -I. csrc/cuda/group_norm_silu/*.cu -o bench_group_norm_silu && ./bench_group_norm_silu
// (the target bench_group_norm_silu of the build does the same).
#include "csrc/cuda/bench_clock.h"
#include "csrc/cuda/group_norm_silu/launch.h"

using namespace linden::cuda;

int main() {
  cudaDeviceProp card;
  cudaGetDeviceProperties(&card, 0);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  char *pool, *weights;
  cudaMalloc(&pool, 4 * kRotated);
  cudaMalloc(&weights, 64 << 20);
  cudaMemset(pool, 0x3c, 4 * kRotated);  // finite in every type
  cudaMemset(weights, 0x3c, 64 << 20);
  const double copy_rate = linden::cuda::copy_rate(stream) / 1e3;
  std::printf("%s, copy %.0f GB/s (read + write)\n%6s %6s %6s %5s %12s %8s %8s %12s %8s %8s\n", card.name, copy_rate, "batch", "C", "pixels", "type",
              "forward us", "GB/s", "share", "backward us", "GB/s", "share");
  const struct {
    int batch, channels, pixels, groups;
  } shapes[] = {{1, 128, 1024, 32},  {8, 128, 1024, 32},  {64, 128, 1024, 32}, {256, 128, 1024, 32}, {256, 256, 1024, 32}, {256, 384, 1024, 32},
                {256, 256, 256, 32}, {256, 512, 256, 32}, {256, 256, 64, 32},  {256, 256, 16, 32},   {256, 32, 1024, 8},   {64, 64, 256, 8}};
  for (FloatType type : {FloatType::kFloat32, FloatType::kBFloat16})
    for (const auto& s : shapes) {
      const int64_t elements = static_cast<int64_t>(s.batch) * s.channels * s.pixels, bytes = elements * (type == FloatType::kFloat32 ? 4 : 2);
      const int64_t slots = std::max<int64_t>(1, kRotated / bytes);
      float* statistics = reinterpret_cast<float*>(weights + (32 << 20));
      const auto at = [&](int region, int i) { return static_cast<void*>(pool + region * kRotated + i % slots * bytes); };
      const double forward = median_us(stream, [&](int i) {
        launch_group_norm_silu({at(0, i), weights, s.channels, weights, weights, at(1, i), statistics, statistics + 65536, s.batch, s.pixels, s.channels,
                                s.groups, 1e-5f, true, type, stream});
      });
      const double backward = median_us(stream, [&](int i) {
        launch_group_norm_silu_backward({at(0, i), at(1, i), weights, s.channels, weights, weights, statistics, statistics + 65536, at(2, i), nullptr, nullptr,
                                         nullptr, s.batch, s.pixels, s.channels, s.groups, true, type, stream});
      });
      const double forward_rate = 2.0 * bytes / forward / 1e3, backward_rate = 3.0 * bytes / backward / 1e3;
      std::printf("%6d %6d %6d %5s %12.2f %8.0f %7.0f%% %12.2f %8.0f %7.0f%%\n", s.batch, s.channels, s.pixels, type == FloatType::kFloat32 ? "fp32" : "bf16",
                  forward, forward_rate, 100 * forward_rate / copy_rate, backward, backward_rate, 100 * backward_rate / copy_rate);
    }
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  return error != cudaSuccess;
}
