// The work that an operation cannot avoid, in bytes and FLOP, and the time below which a given card cannot go.
//
// X = B N H D bytes-per-element: one activation. U = 2 B N H R D: one product with the state of linear attention, R the width of
// the feature map. P: the last size of its projection W [H, D, P].
//
//     linear attention     forward   4X (q, k, v; o)             2U + 2 proj,  proj = 2 B N H D P (0 without W)
//                          backward  7X (q, k, v, do; dq dk dv)  5U + 6 proj   (y, dx and dW for q and for k; o is not read)
//     softmax attention    forward   4X                          4 B N^2 H D
//                          backward  8X (and o)                  10 B N^2 H D
//     RMSNorm with rotary  2X, backward 3X (x, dy; dx)
//     adaptive LayerNorm   4X (residual, branch; x, y), backward 6X (x, branch, dx, dy; dresidual, dbranch)
// Vectors of a sample, W and the state are left out (under 1 % at the shapes of interest), and so is the elementwise work of the
// norms and maps, which no card's arithmetic is short of.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "ops/feature_map.h"

namespace linden {

struct Cost {
  double bytes = 0, flop = 0;
};

// B, N, H, D of "1,32760,12,128". InputError that names `key` where it is no such text.
struct BenchShape {
  int64_t batch = 1, tokens = 1, heads = 1, head_dim = 1;
  double elements() const { return static_cast<double>(batch) * static_cast<double>(tokens) * static_cast<double>(heads * head_dim); }
  std::vector<int64_t> sizes() const { return {batch, tokens, heads, head_dim}; }
};
BenchShape bench_shape_of(const std::string& text, const std::string& key);

enum class BenchPass { kForward, kBackward };
const char* name_of(BenchPass pass);

Cost linear_attention_cost(const BenchShape& shape, const FeatureMapConfig& map, BenchPass pass, int64_t element_bytes);
Cost softmax_attention_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes);
Cost rms_norm_rotary_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes);
Cost adaptive_layer_norm_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes);

// P of the map at that head dim: D for hedgehog, d for taylor2, 0 for a map without W.
int64_t projected_dim_of(const FeatureMapConfig& map, int64_t head_dim);

// What a card reaches, measured beside what is judged by it. NaN: not measured.
struct CardRates {
  double copy_gb_per_s = std::numeric_limits<double>::quiet_NaN();  // bytes read and bytes written, both counted
  double gemm_tflop_per_s = std::numeric_limits<double>::quiet_NaN();
};
// The larger of bytes over the copy rate and FLOP over the GEMM rate. NaN without rates.
double floor_microseconds(const Cost& cost, const CardRates& rates);

}  // namespace linden
