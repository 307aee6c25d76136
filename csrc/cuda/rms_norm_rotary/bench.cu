// Times the RMSNorm and rotary kernels at Wan's shapes and prints the share of the card's own copy rate.
//   nvcc -std=c++20 -O2 -arch=native -I. csrc/cuda/rms_norm_rotary/*.cu -o bench_rms_norm && ./bench_rms_norm
#include "csrc/cuda/bench_clock.h"
#include "csrc/cuda/rms_norm_rotary/launch.h"

using namespace linden::cuda;

int main() {
  cudaDeviceProp card;
  cudaGetDeviceProperties(&card, 0);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  const double copy = copy_rate(stream);
  std::printf("%s, copy %.0f GB/s (read + write)\n%6s %6s %5s %12s %8s %12s %8s\n", card.name, copy / 1e3, "tokens", "M", "type", "forward us", "share",
              "backward us", "share");
  for (const auto& [tokens, width] : {std::pair{32760, 1536}, {75600, 5120}, {1024, 1536}})
    for (const FloatType type : {FloatType::kBFloat16, FloatType::kFloat32}) {
      const size_t bytes = static_cast<size_t>(tokens) * width * (type == FloatType::kFloat32 ? 4 : 2);
      const Regions tensors(3, bytes), weights(1, width * sizeof(float)), angles(1, static_cast<size_t>(tokens) * 64 * sizeof(float));
      const Regions rows(1, rms_norm_rotary_backward_blocks(tokens, width) * width * sizeof(float));
      const float* table = static_cast<const float*>(angles.at(0, 0));
      const int64_t all = static_cast<int64_t>(tokens) * width;
      const double forward = median_us(stream, [&](int i) {
        launch_rms_norm_rotary(
            {tensors.at(0, i), all, width, weights.at(0, 0), FloatType::kFloat32, table, table, tensors.at(1, i), 1, tokens, width, 128, 1e-6f, type, stream});
      });
      const double backward = median_us(stream, [&](int i) {
        launch_rms_norm_rotary_backward({tensors.at(0, i),
                                         all,
                                         width,
                                         128,
                                         tensors.at(1, i),
                                         all,
                                         width,
                                         weights.at(0, 0),
                                         FloatType::kFloat32,
                                         table,
                                         table,
                                         tensors.at(2, i),
                                         static_cast<float*>(rows.at(0, 0)),
                                         1,
                                         tokens,
                                         width,
                                         128,
                                         1e-6f,
                                         type,
                                         stream});
      });
      std::printf("%6d %6d %5s %12.2f %7.0f%% %12.2f %7.0f%%\n", tokens, width, type == FloatType::kFloat32 ? "fp32" : "bf16", forward,
                  100 * 2.0 * bytes / forward / copy, backward, 100 * 3.0 * bytes / backward / copy);
    }
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  return error != cudaSuccess;
}
