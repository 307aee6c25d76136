// The emulator itself: small kernels, right and wrong ones.
#include "tests/cuda_emulator/emulator/emulator.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <numeric>
#include <vector>

#include "core/error.h"

namespace linden {
namespace {

using Catch::Matchers::ContainsSubstring, Catch::Matchers::MessageMatches;

constexpr unsigned kThreads = 64;

// out[t] = what thread t + 1 of the block wrote.
void neighbour_kernel(float* out, bool waits) {
  float* const shared = reinterpret_cast<float*>(cuda::dynamic_shared_memory());
  shared[threadIdx.x] = static_cast<float>(threadIdx.x + 100 * blockIdx.x);
  if (waits) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

std::vector<float> neighbours(bool waits, bool falling) {
  std::vector<float> out(3 * kThreads);
  emulator::device().falling = falling;
  REQUIRE(cuda::launch_kernel(neighbour_kernel, dim3(3), kThreads, kThreads * sizeof(float), nullptr, out.data(), waits) == cudaSuccess);
  emulator::device().falling = false;
  return out;
}

void reduce_kernel(float* out) {
  float sum = static_cast<float>(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  out[threadIdx.x] = sum;
}

void diverging_kernel(float* out) {
  if (threadIdx.x % 32 == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1);
}

void copying_kernel(const float* from, float* before, float* after) {
  float* const shared = reinterpret_cast<float*>(cuda::dynamic_shared_memory());
  cuda::copy_piece(shared + 4 * threadIdx.x, from + 4 * threadIdx.x, threadIdx.x % 2 == 0);
  before[threadIdx.x] = shared[4 * threadIdx.x];
  cuda::finish_copies();
  after[threadIdx.x] = shared[4 * threadIdx.x + 3];
}

void outside_kernel() {
  uint32_t r[4];
  cuda::load_matrices(r, 16 * threadIdx.x);  // more than the block has
}

// c [16, 8] = a [16, 16] b [16, 8], row-major in memory.
void product_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
  auto* const shared = reinterpret_cast<__nv_bfloat16*>(cuda::dynamic_shared_memory());  // a [16, 16], b [16, 16] (8 columns used)
  for (unsigned i = threadIdx.x; i < 256; i += 32) shared[i] = a[i], shared[256 + i] = i % 16 < 8 ? b[i / 16 * 8 + i % 16] : __float2bfloat16(0);
  __syncthreads();
  const unsigned lane = threadIdx.x;
  uint32_t left[4], right[4];
  cuda::load_matrices(left, cuda::shared_address(shared + lane % 16 * 16 + lane / 16 * 8));
  cuda::load_matrices_transposed(right, cuda::shared_address(shared + 256 + lane % 16 * 16 + lane / 16 * 8));
  float sum[4] = {};
  cuda::multiply_add(sum, left, right[0], right[1]);
  for (unsigned e = 0; e < 4; ++e) c[(lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2] = sum[e];
}

}  // namespace

TEST_CASE("emulator: a barrier makes what neighbours wrote visible, and its absence shows in the order of threads", "[unit]") {
  for (const bool falling : {false, true}) {
    const std::vector<float> out = neighbours(true, falling);
    for (unsigned i = 0; i < out.size(); ++i) CHECK(out[i] == static_cast<float>((i % kThreads + 1) % kThreads + 100 * (i / kThreads)));
  }
  const std::vector<float> rising = neighbours(false, false), falling = neighbours(false, true);
  CHECK(std::isnan(rising[0]));  // not written yet
  CHECK(rising[kThreads - 1] == 0);
  CHECK(falling[0] == 1);
  CHECK(std::isnan(falling[kThreads - 1]));
}

TEST_CASE("emulator: shuffles", "[unit]") {
  std::vector<float> out(kThreads);
  REQUIRE(cuda::launch_kernel(reduce_kernel, dim3(1), kThreads, 0, nullptr, out.data()) == cudaSuccess);
  for (unsigned i = 0; i < kThreads; ++i) CHECK(out[i] == (i < 32 ? 496.f : 496.f + 32 * 32));
}

TEST_CASE("emulator: a lane that does not come to what its warp does together is named", "[unit]") {
  std::vector<float> out(kThreads);
  REQUIRE_THROWS_MATCHES(cuda::launch_kernel(diverging_kernel, dim3(1), kThreads, 0, nullptr, out.data()), CheckError,
                         MessageMatches(ContainsSubstring("waits for its warp, of which 31 of 32 lanes came")));
}

TEST_CASE("emulator: a copy is there once it was waited for", "[unit]") {
  std::vector<float> before(kThreads), after(kThreads);
  alignas(16) float from[4 * kThreads];
  std::iota(std::begin(from), std::end(from), 1.f);
  REQUIRE(cuda::launch_kernel(copying_kernel, dim3(1), kThreads, sizeof(from), nullptr, &from[0], before.data(), after.data()) == cudaSuccess);
  for (unsigned i = 0; i < kThreads; ++i) {
    CHECK(std::isnan(before[i]));
    CHECK(after[i] == (i % 2 == 0 ? from[4 * i + 3] : 0.f));
  }
}

TEST_CASE("emulator: addresses outside of the block's memory are named", "[unit]") {
  REQUIRE_THROWS_MATCHES(cuda::launch_kernel(outside_kernel, dim3(1), 32, 256, nullptr), CheckError,
                         MessageMatches(ContainsSubstring("ldmatrix: address 256 of 256 bytes")));
}

TEST_CASE("emulator: fragments of ldmatrix and mma make the product", "[unit]") {
  std::vector<__nv_bfloat16> a(256), b(128);
  std::vector<float> c(128);
  for (int i = 0; i < 256; ++i) a[i] = __float2bfloat16(static_cast<float>(i * 7 % 31 - 15));
  for (int i = 0; i < 128; ++i) b[i] = __float2bfloat16(static_cast<float>(i * 5 % 23 - 11));
  REQUIRE(cuda::launch_kernel(product_kernel, dim3(1), 32, 1024, nullptr, a.data(), b.data(), c.data()) == cudaSuccess);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      float expected = 0;
      for (int k = 0; k < 16; ++k) expected += __bfloat162float(a[row * 16 + k]) * __bfloat162float(b[k * 8 + column]);
      CHECK(c[row * 8 + column] == expected);
    }
}

}  // namespace linden
