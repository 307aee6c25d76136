// The floating types that kernels take.
#pragma once

namespace linden::cuda {

enum class FloatType { kFloat32, kBFloat16, kFloat16 };

}  // namespace linden::cuda
