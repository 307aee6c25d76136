#include "ops/philox_normal.h"

#include <ATen/ATen.h>

#include "core/error.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include "csrc/cuda/philox_normal/launch.h"
#endif

namespace linden {

at::Tensor philox_normal(uint64_t seed, Purpose purpose, const at::Tensor& indices, const at::Tensor& steps, at::IntArrayRef shape) {
  check(indices.dim() == 1 && indices.scalar_type() == at::kLong && indices.is_contiguous(), "philox_normal: indices must be contiguous int64 [B], got {} dims",
        indices.dim());
  check(steps.sizes() == indices.sizes() && steps.scalar_type() == at::kLong && steps.is_contiguous() && steps.device() == indices.device(),
        "philox_normal: steps must match indices in shape, dtype and device");
  const auto rows = static_cast<size_t>(indices.size(0));
  if (indices.is_cpu()) return normal_rows(seed, purpose, {indices.const_data_ptr<int64_t>(), rows}, {steps.const_data_ptr<int64_t>(), rows}, shape);
#ifdef LINDEN_HAS_CUDA
  check(indices.size(0) <= 65535, "philox_normal: {} rows, at most 65535", indices.size(0));
  const c10::cuda::CUDAGuard guard(indices.device());
  std::vector<int64_t> sizes = {indices.size(0)};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  at::Tensor out = at::empty(sizes, indices.options().dtype(at::kFloat));
  const cuda::PhiloxNormalParams params{out.data_ptr<float>(),
                                        indices.const_data_ptr<int64_t>(),
                                        steps.const_data_ptr<int64_t>(),
                                        stream_key(seed, purpose),
                                        indices.size(0),
                                        out.numel() / std::max<int64_t>(1, indices.size(0)),
                                        at::cuda::getCurrentCUDAStream()};
  C10_CUDA_CHECK(cuda::launch_philox_normal(params));
  return out;
#else
  throw CheckError("philox_normal: this build has no CUDA kernels, but the indices are on a GPU");
#endif
}

}  // namespace linden
