// Backward. With n = (x + shift - mean) rstd, z = n w + b, dz = dy SiLU'(z) and, over the M elements of a group,
//   A = sum dz w,  B = sum dz w n:   dx = rstd (dz w - (A + n B) / M)
//   dw = sum dz n,  db = sum dz  (over samples and pixels),  dshift = sum over pixels of dx.
#include <type_traits>

#include "csrc/cuda/group_norm_silu/device.cuh"
#include "csrc/cuda/group_norm_silu/launch.h"
#include "csrc/cuda/device.cuh"

namespace linden::cuda {
namespace {

enum { kSumDz, kSumDzN, kSumN, kNumSums };

template <class T, int V, int kHeld>
__global__ void __launch_bounds__(kMaxThreads) backward_kernel(GroupNormSiluBackwardParams p, Chunk chunk, int copies) {
  float* const shared = reinterpret_cast<float*>(dynamic_shared_memory());
  float* group_a = shared;                                    // [chunk.groups]
  float* group_b = group_a + chunk.groups;                    // [chunk.groups]
  float* channel_sums = group_b + chunk.groups;               // [kNumSums, channels]
  float* partial = channel_sums + kNumSums * chunk.channels;  // [kNumSums, copies, channels]
  const int partial_size = copies * chunk.channels;
  const Place place = place_of_thread(chunk);
  const int64_t sample = blockIdx.y;
  const int first_channel = blockIdx.x * chunk.channels, channel = first_channel + place.lane * V;
  const int64_t start = sample * p.pixels * p.channels + channel;
  const T* x = static_cast<const T*>(p.x) + start;
  const T* grad_y = static_cast<const T*>(p.grad_y) + start;
  T* grad_x = static_cast<T*>(p.grad_x) + start;
  const int pixels = static_cast<int>(p.pixels), first = place.reads ? place.row : pixels;

  int group_of[V];
  groups_of_vector(chunk, place, group_of);
  float offset[V] = {}, rstd[V] = {}, weight[V] = {}, bias[V] = {};  // n = (x + offset) rstd
  if (place.reads)
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const int64_t group = sample * p.groups + blockIdx.x * chunk.groups + group_of[j];
      const float shift = p.shift ? to_float(static_cast<const T*>(p.shift)[sample * p.shift_stride + channel + j]) : 0.0f;
      rstd[j] = p.rstd[group];
      offset[j] = shift - p.mean[group];
      weight[j] = to_float(static_cast<const T*>(p.weight)[channel + j]);
      bias[j] = to_float(static_cast<const T*>(p.bias)[channel + j]);
    }

  Vector<T, V> held_x[kHeld > 0 ? kHeld : 1], held_grad[kHeld > 0 ? kHeld : 1];
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int pixel = first + i * place.rows;
      if (pixel < pixels) {
        held_x[i] = load<T, V>(x + pixel * p.channels);
        held_grad[i] = load<T, V>(grad_y + pixel * p.channels);
      }
    }
  }
  // Calls f(n, dz, pixel) for each of this thread's pixels.
  const auto for_each_pixel = [&](auto&& f) {
    const auto visit = [&](const Vector<T, V>& vector, const Vector<T, V>& grad, int pixel) {
      float n[V], dz[V];
#pragma unroll
      for (int j = 0; j < V; ++j) {
        n[j] = (to_float(vector.element[j]) + offset[j]) * rstd[j];
        dz[j] = to_float(grad.element[j]);
        if (p.silu) {
          const float z = n[j] * weight[j] + bias[j], sigmoid = __fdividef(1.0f, 1.0f + __expf(-z));
          dz[j] *= sigmoid * (1.0f + z * (1.0f - sigmoid));
        }
      }
      f(n, dz, pixel);
    };
    if constexpr (kHeld > 0) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i)
        if (first + i * place.rows < pixels) visit(held_x[i], held_grad[i], first + i * place.rows);
    } else {
      for (int pixel = first; pixel < pixels; pixel += place.rows) {
        const int at = pixel * p.channels;
        visit(load<T, V>(x + at), load<T, V>(grad_y + at), pixel);
      }
    }
  };

  float sum_dz[V] = {}, sum_dzn[V] = {}, sum_n[V] = {};
  for_each_pixel([&](const float(&n)[V], const float(&dz)[V], int) {
#pragma unroll
    for (int j = 0; j < V; ++j) {
      sum_dz[j] += dz[j];
      sum_dzn[j] += dz[j] * n[j];
      sum_n[j] += n[j];
    }
  });
  write_partial(chunk, place, sum_dz, partial + kSumDz * partial_size);
  write_partial(chunk, place, sum_dzn, partial + kSumDzN * partial_size);
  write_partial(chunk, place, sum_n, partial + kSumN * partial_size);
  __syncthreads();
  for (int i = threadIdx.x; i < kNumSums * chunk.channels; i += blockDim.x) {
    const float* column = partial + i / chunk.channels * partial_size + i % chunk.channels;
    float sum = 0;
    for (int copy = 0; copy < copies; ++copy) sum += column[copy * chunk.channels];
    channel_sums[i] = sum;
  }
  __syncthreads();
  for (int group = threadIdx.x / 32; group < chunk.groups; group += blockDim.x / 32) {
    float a = 0, b = 0;
    for (int i = threadIdx.x % 32; i < chunk.group_size; i += 32) {
      const int c = group * chunk.group_size + i;
      const float w = to_float(static_cast<const T*>(p.weight)[first_channel + c]);
      a += w * channel_sums[kSumDz * chunk.channels + c];
      b += w * channel_sums[kSumDzN * chunk.channels + c];
    }
    a = sum_of_warp(a);
    b = sum_of_warp(b);
    if (threadIdx.x % 32 == 0) {
      const float count = static_cast<float>(p.pixels * chunk.group_size);
      group_a[group] = a / count;
      group_b[group] = b / count;
    }
  }
  __syncthreads();
  for (int c = threadIdx.x; c < chunk.channels; c += blockDim.x) {
    const int64_t at = sample * p.channels + first_channel + c;
    const int group = c / chunk.group_size;
    const float dz = channel_sums[kSumDz * chunk.channels + c];
    if (p.grad_bias_rows) p.grad_bias_rows[at] = dz;
    if (p.grad_weight_rows) p.grad_weight_rows[at] = channel_sums[kSumDzN * chunk.channels + c];
    if (p.grad_shift) {
      const float w = to_float(static_cast<const T*>(p.weight)[first_channel + c]);
      const float mean_n = channel_sums[kSumN * chunk.channels + c];
      p.grad_shift[at] =
          p.rstd[sample * p.groups + blockIdx.x * chunk.groups + group] * (w * dz - static_cast<float>(p.pixels) * group_a[group] - mean_n * group_b[group]);
    }
  }
  if (!place.reads) return;
  float mean_a[V], mean_b[V];
#pragma unroll
  for (int j = 0; j < V; ++j) {
    mean_a[j] = group_a[group_of[j]];
    mean_b[j] = group_b[group_of[j]];
  }
  if constexpr (kHeld > 0)
#pragma unroll
    for (int i = 0; i < kHeld; ++i) forget(held_x[i]), forget(held_grad[i]);
  for_each_pixel([&](const float(&n)[V], const float(&dz)[V], int pixel) {
    Vector<T, V> out;
#pragma unroll
    for (int j = 0; j < V; ++j) out.element[j] = from_float<T>(rstd[j] * (dz[j] * weight[j] - mean_a[j] - n[j] * mean_b[j]));
    store<T, V>(grad_x + pixel * p.channels, out);
  });
}

template <class Kernel>
cudaError_t run(Kernel kernel, const GroupNormSiluBackwardParams& p, const Chunk& chunk, int threads) {
  const int copies = num_copies(chunk, threads);
  const size_t shared = sizeof(float) * (2 * chunk.groups + kNumSums * chunk.channels * (1 + static_cast<size_t>(copies)));
  if (shared > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
  }
  return launch_kernel(kernel, dim3(p.channels / chunk.channels, static_cast<unsigned>(p.batch)), threads, shared, p.stream, p, chunk, copies);
}

template <class T, int V>
cudaError_t launch(const GroupNormSiluBackwardParams& p, const Chunk& chunk) {
  const Blocks blocks = choose_blocks(chunk, p.batch, p.pixels, p.channels, max_held(sizeof(T), /*backward=*/true));
  if constexpr (V > 1) {
    constexpr int kMax = max_held(sizeof(T), /*backward=*/true);
    if constexpr (kFewHeld <= kMax)
      if (blocks.held == kFewHeld) return run(backward_kernel<T, V, kFewHeld>, p, chunk, blocks.threads);
    if constexpr (kSomeHeld <= kMax)
      if (blocks.held == kSomeHeld) return run(backward_kernel<T, V, kSomeHeld>, p, chunk, blocks.threads);
    if constexpr (kManyHeld <= kMax)
      if (blocks.held == kManyHeld) return run(backward_kernel<T, V, kManyHeld>, p, chunk, blocks.threads);
  }
  return run(backward_kernel<T, V, 0>, p, chunk, blocks.threads);
}

template <class T>
cudaError_t launch(const GroupNormSiluBackwardParams& p) {
  const Chunk chunk = choose_chunk(p.channels, p.groups, sizeof(T), p.batch, p.pixels);
  return chunk.vector == 1 ? launch<T, 1>(p, chunk) : launch<T, 16 / sizeof(T)>(p, chunk);
}

}  // namespace

cudaError_t launch_group_norm_silu_backward(const GroupNormSiluBackwardParams& params) {
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
