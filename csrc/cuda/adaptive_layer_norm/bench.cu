// Times the adaptive layer norm kernels, with all members, at Wan's shapes and prints the share of the card's own copy rate.
//   nvcc -std=c++20 -O2 -arch=native -I. csrc/cuda/adaptive_layer_norm/*.cu -o bench_adaptive && ./bench_adaptive
#include "csrc/cuda/adaptive_layer_norm/launch.h"
#include "csrc/cuda/bench_clock.h"

using namespace linden::cuda;

int main() {
  cudaDeviceProp card;
  cudaGetDeviceProperties(&card, 0);
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  const double copy = copy_rate(stream);
  std::printf("%s, copy %.0f GB/s (read + write)\n%6s %6s %9s %12s %8s %12s %8s\n", card.name, copy / 1e3, "tokens", "M", "types", "forward us", "share",
              "backward us", "share");
  const struct {
    FloatType residual, branch;
    const char* name;
  } types[] = {{FloatType::kBFloat16, FloatType::kBFloat16, "bf16"},
               {FloatType::kFloat32, FloatType::kBFloat16, "fp32+bf16"},
               {FloatType::kFloat32, FloatType::kFloat32, "fp32"}};
  for (const auto& [tokens, width] : {std::pair{32760, 1536}, {75600, 5120}, {1024, 1536}})
    for (const auto& type : types) {
      const size_t elements = static_cast<size_t>(tokens) * width;
      const size_t stream_bytes = elements * (type.residual == FloatType::kFloat32 ? 4 : 2),
                   branch_bytes = elements * (type.branch == FloatType::kFloat32 ? 4 : 2);
      const Regions wide(3, stream_bytes), narrow(3, branch_bytes), small(5, width * sizeof(float)), statistics(2, tokens * sizeof(float));
      const Regions sums(3, adaptive_layer_norm_backward_blocks(1, tokens, width) * width * sizeof(float));
      const auto member = [&](int i) { return static_cast<const float*>(small.at(i, 0)); };
      const auto number = [&](const Regions& regions, int i) { return static_cast<float*>(regions.at(i, 0)); };
      const double forward = median_us(stream, [&](int i) {
        launch_adaptive_layer_norm({wide.at(0, i),
                                    narrow.at(0, i),
                                    member(0),
                                    member(1),
                                    member(2),
                                    width,
                                    width,
                                    width,
                                    member(3),
                                    member(4),
                                    wide.at(1, i),
                                    narrow.at(1, i),
                                    number(statistics, 0),
                                    number(statistics, 1),
                                    1,
                                    tokens,
                                    width,
                                    1e-6f,
                                    type.residual,
                                    type.branch,
                                    stream});
      });
      const double backward = median_us(stream, [&](int i) {
        launch_adaptive_layer_norm_backward({wide.at(0, i),
                                             narrow.at(0, i),
                                             wide.at(1, i),
                                             narrow.at(1, i),
                                             member(0),
                                             member(1),
                                             width,
                                             width,
                                             member(3),
                                             number(statistics, 0),
                                             number(statistics, 1),
                                             wide.at(2, i),
                                             narrow.at(2, i),
                                             number(sums, 0),
                                             number(sums, 1),
                                             number(sums, 2),
                                             1,
                                             tokens,
                                             width,
                                             type.residual,
                                             type.branch,
                                             stream});
      });
      std::printf("%6d %6d %9s %12.2f %7.0f%% %12.2f %7.0f%%\n", tokens, width, type.name, forward, 100 * 2.0 * (stream_bytes + branch_bytes) / forward / copy,
                  backward, 100 * 3.0 * (stream_bytes + branch_bytes) / backward / copy);
    }
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess) std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  return error != cudaSuccess;
}
