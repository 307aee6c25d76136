// What the forward and the backward kernel share: the rotation.
#pragma once

#include "csrc/cuda/row.cuh"

namespace linden::cuda {

// Turns the four pairs (v_0, v_1), (v_2, v_3), ... of a vector; cos, sin: of its first pair. direction -1: back.
__device__ inline void rotate(float (&v)[kRowVector], const float* cos, const float* sin, float direction) {
  const Vector<float, 4> c = load<float, 4>(cos), s = load<float, 4>(sin);
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
    const float even = v[2 * pair], odd = v[2 * pair + 1], turn = s.element[pair] * direction;
    v[2 * pair] = even * c.element[pair] - odd * turn;
    v[2 * pair + 1] = even * turn + odd * c.element[pair];
  }
}

}  // namespace linden::cuda
