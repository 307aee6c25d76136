#include "experiment/bench_dit_cost.h"

#include <algorithm>

namespace linden {
namespace {

double as_double(int64_t n) { return static_cast<double>(n); }

Cost gemm_cost(const GemmShape& shape, int64_t element_bytes) {
  const double m = as_double(shape[0]), n = as_double(shape[1]), k = as_double(shape[2]);
  return {(m * k + k * n + m * n) * as_double(element_bytes), 2 * m * n * k};
}

Cost times(const Cost& cost, int64_t count) { return {cost.bytes * as_double(count), cost.flop * as_double(count)}; }
Cost plus(const Cost& a, const Cost& b) { return {a.bytes + b.bytes, a.flop + b.flop}; }

int64_t patch_elements(const VideoDitConfig& c) { return c.patch_size[0] * c.patch_size[1] * c.patch_size[2]; }

// The sizes of one pass.
struct Sizes {
  Sizes(const VideoDitConfig& c, const DitWork& work)
      : M(model_width(c)),
        F(c.ffn_dim),
        layers(c.num_layers),
        rows(work.batch * work.tokens),
        text_rows(work.batch * work.text_tokens),
        element_bytes(work.element_bytes),
        P(as_double(rows) * as_double(M) * as_double(element_bytes)) {}
  int64_t M, F, layers, rows, text_rows, element_bytes;
  double P;
};

DitStage gemm_stage(const char* name, int64_t calls, const GemmShape& shape, const Sizes& s) {
  return {name, calls, times(gemm_cost(shape, s.element_bytes), calls), DitLimit::kGemm, shape};
}
DitStage pass_stage(const char* name, int64_t calls, double bytes) { return {name, calls, {bytes * as_double(calls), 0}, DitLimit::kBytes, {}}; }

// Text, patches and time.
void add_embeddings(std::vector<DitStage>& stages, const VideoDitConfig& c, const Sizes& s) {
  DitStage text = gemm_stage("text_embedding", 1, {s.text_rows, s.M, c.text_dim}, s);
  text.cost = plus(text.cost, gemm_cost({s.text_rows, s.M, s.M}, s.element_bytes));
  stages.push_back(text);
  DitStage keys = gemm_stage("text_keys", s.layers, {s.text_rows, s.M, s.M}, s);
  keys.cost = times(keys.cost, 2);  // keys and values
  stages.push_back(keys);
  stages.push_back(gemm_stage("patch_embedding", 1, {s.rows, s.M, c.in_channels * patch_elements(c)}, s));
  // Few rows: its fp32 weights are what moves.
  stages.push_back(pass_stage("time_embedding", 1, 4 * as_double(c.freq_dim * s.M + 7 * s.M * s.M)));
}

void add_block_attention(std::vector<DitStage>& stages, const VideoDitConfig& c, const DitWork& work, const Sizes& s) {
  const BenchShape shape{work.batch, work.tokens, c.num_attention_heads, c.attention_head_dim};
  const int64_t softmax_blocks = s.layers - work.linear_blocks;
  stages.push_back(gemm_stage("qkv", s.layers, {s.rows, 3 * s.M, s.M}, s));
  stages.push_back(pass_stage("norm_rotary", s.layers, 4 * s.P));  // q and k
  if (softmax_blocks > 0)
    stages.push_back({"softmax_attention",
                      softmax_blocks,
                      times(softmax_attention_cost(shape, BenchPass::kForward, s.element_bytes), softmax_blocks),
                      DitLimit::kSelfAttention,
                      {}});
  if (work.linear_blocks > 0)
    stages.push_back({"linear_attention",
                      work.linear_blocks,
                      times(linear_attention_cost(shape, c.feature_map, BenchPass::kForward, s.element_bytes), work.linear_blocks),
                      DitLimit::kLinearAttention,
                      {}});
  stages.push_back(gemm_stage("self_output", s.layers, {s.rows, s.M, s.M}, s));
  stages.push_back(gemm_stage("cross_query", s.layers, {s.rows, s.M, s.M}, s));
  stages.push_back(pass_stage("cross_norm", s.layers, 2 * s.P));
  const Cost cross{2 * s.P + 2 * as_double(s.text_rows * s.M * s.element_bytes), 4 * as_double(s.rows) * as_double(work.text_tokens * s.M)};
  stages.push_back({"cross_attention", s.layers, times(cross, s.layers), DitLimit::kCrossAttention, {}});
  stages.push_back(gemm_stage("cross_output", s.layers, {s.rows, s.M, s.M}, s));
}

}  // namespace

std::vector<DitStage> dit_stages(const VideoDitConfig& c, const DitWork& work) {
  const Sizes s(c, work);
  std::vector<DitStage> stages;
  add_embeddings(stages, c, s);
  stages.push_back(pass_stage("adaptive_norm", 3 * s.layers, 4 * s.P));
  add_block_attention(stages, c, work, s);
  stages.push_back(gemm_stage("ffn_up", s.layers, {s.rows, s.F, s.M}, s));
  if (s.element_bytes == 4)  // else it is in the product's epilogue
    stages.push_back(pass_stage("gelu", s.layers, 2 * as_double(s.rows * s.F) * as_double(s.element_bytes)));
  stages.push_back(gemm_stage("ffn_down", s.layers, {s.rows, s.M, s.F}, s));
  DitStage head = gemm_stage("head", 1, {s.rows, num_output_channels(c) * patch_elements(c), s.M}, s);
  head.cost.bytes += 4 * s.P;
  stages.push_back(head);
  return stages;
}

Cost total_of(const std::vector<DitStage>& stages) {
  Cost total;
  for (const DitStage& stage : stages) total = plus(total, stage.cost);
  return total;
}

double stage_floor_ms(const DitStage& stage, const DitRates& rates) {
  double rate = rates.gemm_tflop_per_s;
  if (stage.limit == DitLimit::kSelfAttention) rate = rates.self_attention_tflop_per_s;
  if (stage.limit == DitLimit::kCrossAttention) rate = rates.cross_attention_tflop_per_s;
  if (const auto found = rates.gemm_at.find(stage.gemm); found != rates.gemm_at.end()) rate = found->second;
  return 1e-3 * floor_microseconds(stage.cost, {rates.copy_gb_per_s, rate});
}

double floor_ms(const std::vector<DitStage>& stages, const DitRates& rates) {
  double total = 0;
  for (const DitStage& stage : stages) total += stage_floor_ms(stage, rates);
  return total;
}

double num_weights(const VideoDitConfig& c) {
  const double M = as_double(model_width(c)), F = as_double(c.ffn_dim), patch = as_double(patch_elements(c));
  const double block = 8 * M * M + 2 * M * F + 8 * M + M + F + 6 * M + (c.cross_attn_norm ? 2 : 0) * M + 4 * M;  // products, their biases, table, norms
  const double text = as_double(c.text_dim) * M + M * M + 2 * M, time = as_double(c.freq_dim) * M + 7 * M * M + 8 * M;
  const double ends = M * patch * as_double(c.in_channels) + M + (M + 1) * patch * as_double(num_output_channels(c)) + 2 * M;
  return as_double(c.num_layers) * block + text + time + ends;
}

double predicted_peak_gb(const VideoDitConfig& c, const DitWork& work) {
  const Sizes s(c, work);
  const double inner = as_double(s.rows * s.F) * as_double(s.element_bytes);
  // The residual; then what attention reads, q, k, v before and after the norm, what the mixer makes, or what feed-forward reads, its inner
  // activation (two without the epilogue) and what it makes.
  const double in_attention = 8 * s.P, in_feed_forward = 3 * s.P + (s.element_bytes == 4 ? 2 : 1) * inner;
  const double text = 2 * as_double(s.layers * s.text_rows * s.M) * as_double(s.element_bytes);
  return 1e-9 * (num_weights(c) * as_double(s.element_bytes) + text + std::max(in_attention, in_feed_forward));
}

}  // namespace linden
