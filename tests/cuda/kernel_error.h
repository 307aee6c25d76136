// How a kernel's error is judged: against fp64, beside the error of LibTorch's own operators in the kernel's dtype.
#pragma once

#include <ATen/ATen.h>

#include <limits>

#include "tests/support/gradcheck.h"

namespace linden::test {

// The card that kernels run on: a CUDA device, or the processor under tests/cuda_emulator, which compiles these tests too.
#ifdef LINDEN_CUDA_EMULATOR
constexpr at::DeviceType kCard = at::kCPU;
inline bool has_card() { return true; }
#else
constexpr at::DeviceType kCard = at::kCUDA;
inline bool has_card() { return at::hasCUDA(); }
#endif

// Twice the error of the unfused expression; where that happens to be (nearly) exact, one rounding of the result, in fp32 four.
inline double allowed_error(const at::Tensor& unfused, const at::Tensor& truth) {
  const at::ScalarType type = unfused.scalar_type();
  const double rounding = type == at::kFloat ? 4 * 0x1p-24 : type == at::kHalf ? 0x1p-11 : 0x1p-8;
  return std::max(2 * relative_error(unfused, truth), rounding);
}

// Frees NaNs of these sizes, so that the next results of those sizes start as NaN.
inline void poison(at::IntArrayRef sizes, at::ScalarType type) {
  const at::TensorOptions options = at::TensorOptions(kCard).dtype(type);
  for (int i = 0; i < 3; ++i) at::full(sizes, std::numeric_limits<double>::quiet_NaN(), options);
}

inline at::Tensor leaf(const at::Tensor& x, at::ScalarType type) { return x.detach().to(type).clone(at::MemoryFormat::Contiguous).requires_grad_(); }

// Bits, so that equal NaNs and signed zeros count.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const auto bits = [](const at::Tensor& x) { return x.detach().contiguous().view(x.element_size() == 4 ? at::kInt : at::kShort); };
  return a.scalar_type() == b.scalar_type() && at::equal(bits(a), bits(b));
}

}  // namespace linden::test
