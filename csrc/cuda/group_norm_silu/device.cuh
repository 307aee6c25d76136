// What the forward and the backward kernel share: where threads stand, and sums over a block that do not depend on timing.
#pragma once

#include "csrc/cuda/group_norm_silu/config.h"
#include "csrc/cuda/vector.cuh"

namespace linden::cuda {

// Where a thread stands: it reads vector `lane` of the slices of pixels row, row + rows, ...
struct Place {
  int row, rows, lane;
  bool reads;  // the threads beyond rows * lanes only take part in sums
};
__device__ inline Place place_of_thread(const Chunk& chunk) {
  const int rows = blockDim.x / chunk.lanes, row = threadIdx.x / chunk.lanes;
  return {row, rows, static_cast<int>(threadIdx.x) % chunk.lanes, row < rows};
}

// Which group of the chunk each element of a thread's vector belongs to.
template <int V>
__device__ inline void groups_of_vector(const Chunk& chunk, const Place& place, int (&group)[V]) {
  int current = place.lane * V / chunk.group_size, next = (current + 1) * chunk.group_size - place.lane * V;
#pragma unroll
  for (int j = 0; j < V; ++j) {
    if (j == next) ++current, next += chunk.group_size;
    group[j] = current;
  }
}

// Makes the compiler forget what it knows of a held vector, so that it converts it again in the next pass and keeps 16
// bytes of it in registers, not the fp32 values.
template <class T, int V>
__device__ inline void forget(Vector<T, V>& vector) {
  if constexpr (sizeof(vector) == 16) {
    auto* word = reinterpret_cast<unsigned*>(&vector);
    asm volatile("" : "+r"(word[0]), "+r"(word[1]), "+r"(word[2]), "+r"(word[3]));
  }
}

// Partial sums of one quantity: [copies, channels] in shared memory, one copy a warp where a warp's lanes repeat the
// slice (they are first added by shuffles), else one a row of pixels.
inline __host__ __device__ bool adds_in_warp(int lanes) { return lanes <= 32 && 32 % lanes == 0; }
inline __host__ __device__ int num_copies(const Chunk& chunk, int threads) { return adds_in_warp(chunk.lanes) ? threads / 32 : threads / chunk.lanes; }

template <int V>
__device__ inline void write_partial(const Chunk& chunk, const Place& place, float (&sums)[V], float* partial) {
  if (adds_in_warp(chunk.lanes)) {
    for (int distance = 16; distance >= chunk.lanes; distance /= 2)
#pragma unroll
      for (int j = 0; j < V; ++j) sums[j] += __shfl_xor_sync(0xffffffffu, sums[j], distance);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (lane < chunk.lanes)
#pragma unroll
      for (int j = 0; j < V; ++j) partial[warp * chunk.channels + lane * V + j] = sums[j];
  } else if (place.reads) {
#pragma unroll
    for (int j = 0; j < V; ++j) partial[place.row * chunk.channels + place.lane * V + j] = sums[j];
  }
}

__device__ inline float sum_of_warp(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// group_sums[q, g] = sum of partial[q] over copies and the channels of group g, for quantities q < kQuantities;
// partial: [kQuantities, copies, channels], group_sums: [kQuantities, chunk.groups]. Both barriers are inside.
template <int kQuantities>
__device__ inline void sum_groups(const Chunk& chunk, int copies, const float* partial, float* group_sums) {
  __syncthreads();
  for (int task = threadIdx.x / 32; task < kQuantities * chunk.groups; task += blockDim.x / 32) {
    const int quantity = task / chunk.groups, group = task - quantity * chunk.groups;
    const float* from = partial + quantity * copies * chunk.channels + group * chunk.group_size;
    float sum = 0;
    for (int i = threadIdx.x % 32; i < copies * chunk.group_size; i += 32) {
      const int copy = i / chunk.group_size;
      sum += from[copy * chunk.channels + i - copy * chunk.group_size];
    }
    sum = sum_of_warp(sum);
    if (threadIdx.x % 32 == 0) group_sums[task] = sum;
  }
  __syncthreads();
}

}  // namespace linden::cuda
