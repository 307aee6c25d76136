// Runs the CUDA kernels of csrc/ on a processor, thread by thread, so that their arithmetic and their synchronisation are tested where
// there is no GPU. Included before everything else of a kernel's source (compiler option -include): the kernel's text is not changed.
//
// Every CUDA thread is a fiber of its own; the fibers of a block run one at a time on one thread of the system, blocks on several.
// - __syncthreads() and what a warp does together (shuffles, ldmatrix, mma) wait for the threads that must take part. One that never
//   comes is an error with a message, not a hang.
// - Asynchronous copies happen when they are waited for; before that their target holds NaN.
// - Shared memory starts as NaN. Threads run in rising or falling order (Device::falling): a kernel without races gives the same bits.
// - mma multiplies bf16 exactly and rounds each sum of 16 products to fp32 once; a GPU rounds more often.
// Not seen: how fast it is, what the L1 does, and races within the order of one tile that no order of threads shows (compute-sanitizer).
#pragma once

#ifndef LINDEN_CUDA_EMULATOR
#define LINDEN_CUDA_EMULATOR 1
#endif

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "tests/cuda_emulator/emulator/device.h"

namespace linden::emulator {

// Where the running CUDA thread stands.
struct Position {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
const Position& position();
unsigned char* shared_memory();

// Calls `kernel` for every thread of the grid. Throws linden::Error where threads wait for ones that never come.
cudaError_t run_grid(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& kernel);

void sync_block();
// The 32 lanes of a warp together: `combine` runs once, when all have come, on what each brought and takes away.
using Combine = void (*)(const void* const (&in)[32], void* const (&out)[32]);
void with_warp(const void* in, void* out, Combine combine);

void copy_later(void* to, const void* from, bool valid);
void commit_copies();
void finish_copies(int groups_left);

}  // namespace linden::emulator

// The language. __shared__ variables are the block's: its fibers share a thread of the system.
#undef __shared__
#undef __launch_bounds__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define threadIdx (::linden::emulator::position().thread)
#define blockIdx (::linden::emulator::position().block)
#define blockDim (::linden::emulator::position().block_size)
#define gridDim (::linden::emulator::position().grid_size)

using std::max;
using std::min;
inline void __syncthreads() { linden::emulator::sync_block(); }
inline void __syncwarp() {
  linden::emulator::with_warp(nullptr, nullptr, [](const void* const(&)[32], void* const(&)[32]) {});
}
inline float __shfl_xor_sync(unsigned, float value, int mask) {
  struct In {
    float value;
    int mask;
  } in{value, mask};
  float out;
  linden::emulator::with_warp(&in, &out, [](const void* const(&in)[32], void* const(&out)[32]) {
    for (int lane = 0; lane < 32; ++lane) *static_cast<float*>(out[lane]) = static_cast<const In*>(in[lane ^ static_cast<const In*>(in[lane])->mask])->value;
  });
  return out;
}
inline bool __any_sync(unsigned, bool value) {
  bool out;
  linden::emulator::with_warp(&value, &out, [](const void* const(&in)[32], void* const(&out)[32]) {
    bool any = false;
    for (const void* own : in) any = any || *static_cast<const bool*>(own);
    for (void* own : out) *static_cast<bool*>(own) = any;
  });
  return out;
}
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = static_cast<float>(std::sin(M_PI * x));
  *cosine = static_cast<float>(std::cos(M_PI * x));
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32); }

// The runtime, as far as kernels' hosts call it.
namespace linden::emulator {
cudaError_t attribute(int* value, cudaDeviceAttr which);
}
#define cudaGetDevice(device) (*(device) = 0, cudaSuccess)
#define cudaDeviceGetAttribute(value, which, device) ::linden::emulator::attribute(value, which)
#define cudaFuncSetAttribute(kernel, which, value) (static_cast<void>(kernel), static_cast<void>(value), cudaSuccess)
#define cudaGetLastError() (cudaSuccess)

// csrc/cuda/device.cuh
namespace linden::cuda {

template <class... Params, class... Arguments>
cudaError_t launch_kernel(void (*kernel)(Params...), dim3 grid, unsigned threads, size_t shared_bytes, cudaStream_t, const Arguments&... arguments) {
  return emulator::run_grid(grid, threads, shared_bytes, [&] { kernel(arguments...); });
}
inline unsigned char* dynamic_shared_memory() { return emulator::shared_memory(); }
inline uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(static_cast<const unsigned char*>(pointer) - emulator::shared_memory()); }
inline void copy_piece(void* to, const void* from, bool valid) { emulator::copy_later(to, from, valid); }
inline void finish_copies() { emulator::finish_copies(0); }
inline void commit_copies() { emulator::commit_copies(); }
inline void finish_copies_but_last() { emulator::finish_copies(1); }
inline void sync_from_anywhere() { emulator::sync_block(); }
void load_matrices(uint32_t (&r)[4], uint32_t row);
void load_matrices_transposed(uint32_t (&r)[4], uint32_t row);
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

}  // namespace linden::cuda
