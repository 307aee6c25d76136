#include <type_traits>

#include "csrc/cuda/bias_residual/launch.h"
#include "csrc/cuda/device.cuh"
#include "csrc/cuda/vector.cuh"

namespace linden::cuda {
namespace {

constexpr int kThreads = 256;

template <class T, int V>
__global__ void bias_residual_kernel(BiasResidualParams p) {
  const int64_t first = (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * V;
  if (first >= p.elements) return;
  T* x = static_cast<T*>(p.x) + first;
  Vector<T, V> sum = load<T, V>(x);
  const Vector<T, V> bias = load<T, V>(static_cast<const T*>(p.bias) + first % p.channels);
  Vector<T, V> residual = {};
  if (p.residual) residual = load<T, V>(static_cast<const T*>(p.residual) + first);
#pragma unroll
  for (int j = 0; j < V; ++j) sum.element[j] = from_float<T>(to_float(sum.element[j]) + to_float(bias.element[j]) + to_float(residual.element[j]));
  store<T, V>(x, sum);
}

template <class T>
cudaError_t launch(const BiasResidualParams& p) {
  constexpr int kWide = 16 / sizeof(T);
  const bool wide = p.channels % kWide == 0;
  const int64_t blocks = (p.elements / (wide ? kWide : 1) + kThreads - 1) / kThreads;
  return launch_kernel(wide ? bias_residual_kernel<T, kWide> : bias_residual_kernel<T, 1>, static_cast<unsigned>(blocks), kThreads, 0, p.stream, p);
}

}  // namespace

cudaError_t launch_bias_residual(const BiasResidualParams& params) {
  if (params.elements == 0) return cudaSuccess;
  switch (params.type) {
    case FloatType::kFloat32: return launch<float>(params);
    case FloatType::kBFloat16: return launch<__nv_bfloat16>(params);
    case FloatType::kFloat16: return launch<__half>(params);
  }
  return cudaErrorInvalidValue;
}

}  // namespace linden::cuda
