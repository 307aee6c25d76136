// What one forward pass of the video transformer does, stage by stage, in FLOP and bytes; names as its marks (nn/stage.h).
//
// P = B N M bytes-per-element: one activation. Products: 2 m n k FLOP and (m k + k n + m n) elements. A stage's floor is its own: the
// larger of FLOP over the rate of its products (or attention) at that very shape and bytes over the copy rate. Stages that are
// fused may go below the sum.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "experiment/bench_cost.h"
#include "models/video_dit_config.h"

namespace linden {

struct DitWork {
  int64_t batch = 1, tokens = 1, text_tokens = 1;  // B, N, L
  int64_t element_bytes = 2;
  int64_t linear_blocks = 0;  // the others have softmax attention
};

using GemmShape = std::array<int64_t, 3>;  // m, n, k

enum class DitLimit { kBytes, kGemm, kSelfAttention, kCrossAttention, kLinearAttention };

struct DitStage {
  std::string name;
  int64_t calls = 0;
  Cost cost;  // of all calls
  DitLimit limit = DitLimit::kBytes;
  GemmShape gemm = {0, 0, 0};  // of its products, where the limit is kGemm
};
// In the order in which they run first.
std::vector<DitStage> dit_stages(const VideoDitConfig& model, const DitWork& work);
Cost total_of(const std::vector<DitStage>& stages);

struct DitRates {
  double copy_gb_per_s = 0;
  double gemm_tflop_per_s = 0;          // of a large square product
  std::map<GemmShape, double> gemm_at;  // TFLOP/s; of other shapes the one above
  double self_attention_tflop_per_s = 0, cross_attention_tflop_per_s = 0;
};
double stage_floor_ms(const DitStage& stage, const DitRates& rates);
double floor_ms(const std::vector<DitStage>& stages, const DitRates& rates);

// GB in use at most: weights, the text's keys and values, and the activations of a block under its feed-forward or attention part.
double predicted_peak_gb(const VideoDitConfig& model, const DitWork& work);
double num_weights(const VideoDitConfig& model);

}  // namespace linden
