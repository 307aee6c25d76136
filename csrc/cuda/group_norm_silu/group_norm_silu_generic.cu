// Forward, in one pass over memory where the pixels fit into registers: sums of x - pivot and its square with the group's
// first element as pivot, then (x - mean) rstd w + b and SiLU. The pivot is one of the n values, so the variance is at
// least its squared distance from the mean over n, and what cancels costs at most a factor n of fp32's 6e-8 (as a rule
// none): a large mean costs no digits.
#include <type_traits>

#include "csrc/cuda/group_norm_silu/device.cuh"
#include "csrc/cuda/group_norm_silu/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

template <class T, int V, int kHeld>
__global__ void __launch_bounds__(kMaxThreads) forward_kernel(GroupNormSiluParams p, Chunk chunk, int copies) {
  float* const shared = reinterpret_cast<float*>(dynamic_shared_memory());
  float* group_sums = shared;                  // [2, chunk.groups]
  float* partial = shared + 2 * chunk.groups;  // [2, copies, channels]
  const Place place = place_of_thread(chunk);
  const int64_t sample = blockIdx.y;
  const int channel = blockIdx.x * chunk.channels + place.lane * V;
  const int64_t start = sample * p.pixels * p.channels;
  const T* x = static_cast<const T*>(p.x) + start + channel;
  T* y = static_cast<T*>(p.y) + start + channel;
  const int pixels = static_cast<int>(p.pixels), first = place.reads ? place.row : pixels;

  Vector<T, V> held[kHeld > 0 ? kHeld : 1];
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (first + i * place.rows < pixels) held[i] = load<T, V>(x + (first + i * place.rows) * p.channels);
  }
  int group[V];
  groups_of_vector(chunk, place, group);
  const auto shift_of = [&](int c) { return p.shift ? to_float(static_cast<const T*>(p.shift)[sample * p.shift_stride + c]) : 0.0f; };
  float shift[V] = {}, pivot[V] = {};  // x + shift, and x + shift of the group's first element
  if (place.reads)
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const int leader = blockIdx.x * chunk.channels + group[j] * chunk.group_size;
      shift[j] = shift_of(channel + j);
      pivot[j] = to_float(static_cast<const T*>(p.x)[start + leader]) + shift_of(leader);
    }
  // Calls f(a vector, pixel) for each of this thread's pixels.
  const auto for_each_pixel = [&](auto&& f) {
    if constexpr (kHeld > 0) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i)
        if (first + i * place.rows < pixels) f(held[i], first + i * place.rows);
    } else {
      for (int pixel = first; pixel < pixels; pixel += place.rows) f(load<T, V>(x + pixel * p.channels), pixel);
    }
  };

  float sums[V] = {}, squares[V] = {};
  for_each_pixel([&](const Vector<T, V>& vector, int) {
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const float value = to_float(vector.element[j]) + shift[j] - pivot[j];
      sums[j] += value;
      squares[j] += value * value;
    }
  });
  write_partial(chunk, place, sums, partial);
  write_partial(chunk, place, squares, partial + copies * chunk.channels);
  sum_groups<2>(chunk, copies, partial, group_sums);

  const float count = static_cast<float>(pixels) * chunk.group_size;
  const auto moments = [&](int g, float& mean_from_pivot, float& rstd) {
    mean_from_pivot = group_sums[g] / count;
    rstd = rsqrtf(fmaxf(group_sums[chunk.groups + g] / count - mean_from_pivot * mean_from_pivot, 0.0f) + p.eps);
  };
  if (p.mean && threadIdx.x < chunk.groups) {
    const int leader = blockIdx.x * chunk.channels + threadIdx.x * chunk.group_size;
    const int64_t at = sample * p.groups + blockIdx.x * chunk.groups + threadIdx.x;
    float mean_from_pivot;
    moments(threadIdx.x, mean_from_pivot, p.rstd[at]);
    p.mean[at] = to_float(static_cast<const T*>(p.x)[start + leader]) + shift_of(leader) + mean_from_pivot;
  }
  if (!place.reads) return;
  float scale[V], offset[V];  // y = SiLU((x + shift - pivot) scale + offset)
#pragma unroll
  for (int j = 0; j < V; ++j) {
    float mean_from_pivot, rstd;
    moments(group[j], mean_from_pivot, rstd);
    scale[j] = rstd * to_float(static_cast<const T*>(p.weight)[channel + j]);
    offset[j] = to_float(static_cast<const T*>(p.bias)[channel + j]) - mean_from_pivot * scale[j];
    shift[j] -= pivot[j];
  }
  if constexpr (kHeld > 0)
#pragma unroll
    for (int i = 0; i < kHeld; ++i) forget(held[i]);
  for_each_pixel([&](const Vector<T, V>& vector, int pixel) {
    Vector<T, V> out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const float z = (to_float(vector.element[j]) + shift[j]) * scale[j] + offset[j];
      out.element[j] = from_float<T>(p.silu ? __fdividef(z, 1.0f + __expf(-z)) : z);
    }
    store<T, V>(y + pixel * p.channels, out);
  });
}

template <class T, int V>
cudaError_t launch(const GroupNormSiluParams& p, const Chunk& chunk) {
  const Blocks blocks = choose_blocks(chunk, p.batch, p.pixels, p.channels, max_held(sizeof(T), /*backward=*/false));
  const int copies = num_copies(chunk, blocks.threads);
  const size_t shared = 2 * sizeof(float) * (chunk.groups + static_cast<size_t>(copies) * chunk.channels);  // <= 32 KiB and the groups
  const dim3 grid(p.channels / chunk.channels, static_cast<unsigned>(p.batch));
  const auto run = [&](auto kernel) { return launch_kernel(kernel, grid, blocks.threads, shared, p.stream, p, chunk, copies); };
  if constexpr (V > 1) {
    constexpr int kMax = max_held(sizeof(T), /*backward=*/false);
    if constexpr (kFewHeld <= kMax)
      if (blocks.held == kFewHeld) return run(forward_kernel<T, V, kFewHeld>);
    if constexpr (kSomeHeld <= kMax)
      if (blocks.held == kSomeHeld) return run(forward_kernel<T, V, kSomeHeld>);
    if constexpr (kManyHeld <= kMax)
      if (blocks.held == kManyHeld) return run(forward_kernel<T, V, kManyHeld>);
    if constexpr (kMostHeld <= kMax)
      if (blocks.held == kMostHeld) return run(forward_kernel<T, V, kMostHeld>);
  }
  return run(forward_kernel<T, V, 0>);
}

template <class T>
cudaError_t launch(const GroupNormSiluParams& p) {
  const Chunk chunk = choose_chunk(p.channels, p.groups, sizeof(T), p.batch, p.pixels);
  return chunk.vector == 1 ? launch<T, 1>(p, chunk) : launch<T, 16 / sizeof(T)>(p, chunk);
}

}  // namespace

cudaError_t launch_group_norm_silu(const GroupNormSiluParams& params) {
  if (params.batch == 0) return cudaSuccess;
  if (params.channels / params.groups > kMaxGroupSize || params.batch > 65535 || params.pixels * params.channels > 2147483647) return cudaErrorInvalidValue;
  switch (params.type) {
    case FloatType::kFloat32: return launch<float>(params);
    case FloatType::kBFloat16: return launch<__nv_bfloat16>(params);
    case FloatType::kFloat16: return launch<__half>(params);
  }
  return cudaErrorInvalidValue;
}

}  // namespace linden::cuda
