#include "experiment/bench_cost.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace linden {
namespace {

double as_double(int64_t n) { return static_cast<double>(n); }
double activation_bytes(const BenchShape& shape, int64_t element_bytes) { return shape.elements() * as_double(element_bytes); }

}  // namespace

BenchShape bench_shape_of(const std::string& text, const std::string& key) {
  std::vector<int64_t> sizes;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = !text.empty();
  while (good && at < end) {
    int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    good = error == std::errc() && size >= 1 && size <= (int64_t{1} << 32) && (next == end || (*next == ',' && next + 1 < end));
    sizes.push_back(size);
    at = next == end ? end : next + 1;
  }
  check_input(good && sizes.size() == 4, "{}: got \"{}\", wanted B,N,H,D: four numbers from 1 on, for example \"1,32760,12,128\"", key, text);
  return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

const char* name_of(BenchPass pass) { return pass == BenchPass::kForward ? "forward" : "backward"; }

int64_t projected_dim_of(const FeatureMapConfig& map, int64_t head_dim) {
  if (!has_projection(map)) return 0;
  const auto* taylor = std::get_if<Taylor2MapConfig>(&map);
  return taylor ? taylor->projected_dim : head_dim;
}

Cost linear_attention_cost(const BenchShape& shape, const FeatureMapConfig& map, BenchPass pass, int64_t element_bytes) {
  const int64_t projected = projected_dim_of(map, shape.head_dim);
  const double product = 2 * shape.elements() * as_double(feature_dim(map, shape.head_dim, projected));  // U
  const double projection = 2 * shape.elements() * as_double(projected), X = activation_bytes(shape, element_bytes);
  if (pass == BenchPass::kForward) return {4 * X, 2 * product + 2 * projection};
  return {7 * X, 5 * product + 6 * projection};
}

Cost softmax_attention_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes) {
  const double scores = 2 * shape.elements() * as_double(shape.tokens), X = activation_bytes(shape, element_bytes);
  return pass == BenchPass::kForward ? Cost{4 * X, 2 * scores} : Cost{8 * X, 5 * scores};
}

Cost rms_norm_rotary_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes) {
  return {(pass == BenchPass::kForward ? 2 : 3) * activation_bytes(shape, element_bytes), 0};
}

Cost adaptive_layer_norm_cost(const BenchShape& shape, BenchPass pass, int64_t element_bytes) {
  return {(pass == BenchPass::kForward ? 4 : 6) * activation_bytes(shape, element_bytes), 0};
}

double floor_microseconds(const Cost& cost, const CardRates& rates) {
  const double by_bytes = cost.bytes / rates.copy_gb_per_s * 1e-3;  // GB/s: 1e9 bytes in 1e6 us
  const double by_flop = cost.flop / rates.gemm_tflop_per_s * 1e-6;
  return cost.flop > 0 ? std::max(by_bytes, by_flop) : by_bytes;
}

}  // namespace linden
