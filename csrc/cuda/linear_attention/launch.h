// Non-causal linear attention, forward and backward. See README.md.
#pragma once

#include "csrc/cuda/linear_attention/params.h"

namespace linden::cuda {

// Whether this card has the shared memory that the kernels want for this shape. False: use another implementation.
bool linear_attention_fits(const LinearAttentionShape& shape, bool backward);

// How many stretches fill the card's multiprocessors best, at most `limit`.
int state_splits(const LinearAttentionShape& shape, int limit);
int query_splits(const LinearAttentionShape& shape);
int gradient_splits(const LinearAttentionShape& shape, int limit);

// All are deterministic on one card and can be captured in a CUDA graph.
cudaError_t launch_key_shift(const KeyShiftParams& params);
cudaError_t launch_state(const StateParams& params);
cudaError_t launch_centre(const CentreParams& params);
cudaError_t launch_query(const QueryParams& params);
cudaError_t launch_gradient(const GradientParams& params);
// out[i] = sum over parts of partial[part, i], in their order.
cudaError_t launch_sum_parts(const float* partial, float* out, int64_t elements, int parts, cudaStream_t stream);
// As above for W, whose gradient is a sum over samples too: partial [splits, B, H, E] -> out [H, E].
cudaError_t launch_sum_projection(const float* partial, float* out, const LinearAttentionShape& shape);

}  // namespace linden::cuda
