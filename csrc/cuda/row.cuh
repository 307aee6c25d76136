// Rows in the registers of one block: thread t holds the vectors t and t + threads, of eight elements each, and every
// row that the block visits lies the same way, so that a thread sums its own columns without help.
#pragma once

#include <cstdint>

#include "csrc/cuda/float_type.h"
#include "csrc/cuda/row_config.h"
#include "csrc/cuda/vector.cuh"

namespace linden::cuda {

// Eight elements as they lie in memory: one load of 16 bytes, or two.
template <class T>
struct Eight {
  static constexpr int kPerLoad = 16 / sizeof(T);
  Vector<T, kPerLoad> part[kRowVector / kPerLoad];

  __device__ float operator[](int j) const { return to_float(part[j / kPerLoad].element[j % kPerLoad]); }
};

template <class T>
__device__ inline Eight<T> load_eight(const T* from) {
  Eight<T> eight;
#pragma unroll
  for (int i = 0; i < kRowVector / Eight<T>::kPerLoad; ++i) eight.part[i] = load<T, Eight<T>::kPerLoad>(from + i * Eight<T>::kPerLoad);
  return eight;
}

template <class T>
__device__ inline void store_eight(T* to, const float (&value)[kRowVector]) {
  constexpr int kPerLoad = Eight<T>::kPerLoad;
#pragma unroll
  for (int i = 0; i < kRowVector / kPerLoad; ++i) {
    Vector<T, kPerLoad> part;
#pragma unroll
    for (int j = 0; j < kPerLoad; ++j) part.element[j] = from_float<T>(value[i * kPerLoad + j]);
    store<T, kPerLoad>(to + i * kPerLoad, part);
  }
}

// Eight fp32 values of a tensor whose type is known at run time only; absent (null): `fallback`.
template <class T>
__device__ inline void widen_eight(const void* from, int64_t at, float (&value)[kRowVector]) {
  const Eight<T> eight = load_eight(static_cast<const T*>(from) + at);
#pragma unroll
  for (int j = 0; j < kRowVector; ++j) value[j] = eight[j];
}
__device__ inline void load_eight_as_float(const void* from, FloatType type, int64_t at, float fallback, float (&value)[kRowVector]) {
  if (!from) {
#pragma unroll
    for (int j = 0; j < kRowVector; ++j) value[j] = fallback;
  } else if (type == FloatType::kFloat32) {
    widen_eight<float>(from, at, value);
  } else if (type == FloatType::kBFloat16) {
    widen_eight<__nv_bfloat16>(from, at, value);
  } else {
    widen_eight<__half>(from, at, value);
  }
}

// Column of a thread's vector i; columns from the width on belong to nobody.
__device__ inline int column_of(int i) { return static_cast<int>(threadIdx.x + i * blockDim.x) * kRowVector; }

// Makes the compiler forget what it knows of a held vector, so that it converts it again after a barrier and keeps 16 bytes
// of it in registers, not the fp32 values.
template <class T>
__device__ inline void forget(Eight<T>& eight) {
#pragma unroll
  for (auto& part : eight.part) {
    auto* word = reinterpret_cast<unsigned*>(&part);
    asm volatile("" : "+r"(word[0]), "+r"(word[1]), "+r"(word[2]), "+r"(word[3]));
  }
}

// Sums over the block, in an order of the block's shape alone; every thread gets them. One barrier: two calls in a row
// need two different `slots`.
template <int kNum>
__device__ inline void sum_over_block(float (&values)[kNum], float (&slots)[kNum][kMaxRowThreads / 32]) {
#pragma unroll
  for (int n = 0; n < kNum; ++n)
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) values[n] += __shfl_xor_sync(0xffffffffu, values[n], distance);
  const int warps = blockDim.x / 32;
  if (threadIdx.x % 32 == 0)
#pragma unroll
    for (int n = 0; n < kNum; ++n) slots[n][threadIdx.x / 32] = values[n];
  __syncthreads();
#pragma unroll
  for (int n = 0; n < kNum; ++n) {
    values[n] = 0;
    for (int warp = 0; warp < warps; ++warp) values[n] += slots[n][warp];
  }
}

}  // namespace linden::cuda
