// One thread makes the four normals of one Philox block: counter (block, step, index), key from the host.
// Philox4x32-10: Salmon et al., SC 2011. Box-Muller: r = sqrt(-2 ln u1), (r cos, r sin)(2 pi u2).
#include "csrc/cuda/device.cuh"
#include "csrc/cuda/philox_normal/launch.h"

namespace linden::cuda {
namespace {

constexpr int kThreads = 256;  // one block covers a 32x32 image; latency, not throughput, is what counts

__device__ uint4 philox(uint4 c, uint2 k) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t hi0 = __umulhi(0xD2511F53u, c.x), lo0 = 0xD2511F53u * c.x;
    const uint32_t hi1 = __umulhi(0xCD9E8D57u, c.z), lo1 = 0xCD9E8D57u * c.z;
    c = make_uint4(hi1 ^ c.y ^ k.x, lo1, hi0 ^ c.w ^ k.y, lo0);
    k.x += 0x9E3779B9u;
    k.y += 0xBB67AE85u;
  }
  return c;
}

__device__ float2 box_muller(uint32_t a, uint32_t b) {
  const float u1 = (static_cast<float>(a >> 8) + 0.5f) * 0x1p-24f;  // (0, 1)
  const float u2 = (static_cast<float>(b >> 8) + 0.5f) * 0x1p-24f;
  const float r = sqrtf(-2.0f * logf(u1));
  float s, c;
  sincospif(2.0f * u2, &s, &c);
  return make_float2(r * c, r * s);
}

__global__ void philox_normal_kernel(PhiloxNormalParams p) {
  const int64_t row = blockIdx.y;
  const int64_t block = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const int64_t first = block * 4;
  if (first >= p.row_size) return;
  const uint64_t index = static_cast<uint64_t>(p.indices[row]);
  const uint4 words =
      philox(make_uint4(static_cast<uint32_t>(block), static_cast<uint32_t>(p.steps[row]), static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)),
             make_uint2(static_cast<uint32_t>(p.key), static_cast<uint32_t>(p.key >> 32)));
  const float2 left = box_muller(words.x, words.y), right = box_muller(words.z, words.w);
  const float values[4] = {left.x, left.y, right.x, right.y};
  float* out = p.out + row * p.row_size + first;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (first + i < p.row_size) out[i] = values[i];
}

}  // namespace

cudaError_t launch_philox_normal(const PhiloxNormalParams& params) {
  if (params.num_rows == 0 || params.row_size == 0) return cudaSuccess;
  const int64_t blocks = (params.row_size + 4 * kThreads - 1) / (4 * kThreads);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(params.num_rows));
  return launch_kernel(philox_normal_kernel, grid, kThreads, 0, params.stream, params);
}

}  // namespace linden::cuda
