#include "experiment/bench_attention.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "experiment/bench_attention_cases.h"
#include "ops/attention_choices.h"

namespace linden {
namespace {

constexpr double kMaxScoreBytes = 4.0 * (1 << 30);  // the math back-end keeps scores of N x N

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const AttentionBackend backend : kAttentionBackends) names.emplace_back(name_of(backend));
  return names;
}

void check_names(const std::vector<std::string>& given, const std::vector<std::string>& known, const char* key) {
  for (const std::string& name : given) {
    const std::string nearest = nearest_name(name, known);
    check_input(std::find(known.begin(), known.end(), name) != known.end(), "{}: \"{}\" is none of {}{}", key, name, fmt::join(known, ", "),
                nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?");
  }
}

std::vector<BenchPass> passes_of(const BenchAttentionConfig& config) {
  std::vector<BenchPass> passes;
  for (const std::string& name : config.passes) passes.push_back(name == "forward" ? BenchPass::kForward : BenchPass::kBackward);
  return passes;
}

int64_t element_bytes(const BenchAttentionConfig& config) { return config.dtype == "float32" ? 4 : 2; }

// LibTorch's expression first: linden's line is printed with the speed-up over it.
void add_both(std::vector<BenchRow>& rows, const BenchAttentionConfig& config, BenchRow row) {
  for (const char* name : {"libtorch", "linden"}) {
    if (!config.libtorch && std::string(name) == "libtorch") continue;
    row.implementation = name;
    rows.push_back(row);
  }
}

void add_attention(std::vector<BenchRow>& rows, const BenchAttentionConfig& config, const BenchShape& shape) {
  for (const BenchPass pass : passes_of(config)) {
    BenchRow row{
        .operation = "linear_attention", .shape = shape, .map = "", .dtype = config.dtype, .pass = pass, .implementation = "", .cost = {}, .error = ""};
    for (const std::string& map : config.feature_maps) {
      row.map = map;
      row.cost = linear_attention_cost(shape, feature_map_of(map), pass, element_bytes(config));
      add_both(rows, config, row);
    }
    row.operation = "softmax_attention";
    row.map = "";
    row.cost = softmax_attention_cost(shape, pass, element_bytes(config));
    const double score_bytes = shape.elements() / static_cast<double>(shape.head_dim) * static_cast<double>(shape.tokens * element_bytes(config));
    for (const std::string& backend : config.softmax_backends) {
      row.implementation = backend;
      row.error = backend == "math" && score_bytes > kMaxScoreBytes ? fmt::format("not run: its scores take {:.1f} GiB", score_bytes / (1 << 30)) : "";
      rows.push_back(row);
    }
  }
}

void add_norms(std::vector<BenchRow>& rows, const BenchAttentionConfig& config, const BenchShape& shape) {
  for (const BenchPass pass : passes_of(config)) {
    BenchRow row{.operation = "rms_norm_rotary", .shape = shape, .map = "", .dtype = config.dtype, .pass = pass, .implementation = "", .cost = {}, .error = ""};
    row.cost = rms_norm_rotary_cost(shape, pass, element_bytes(config));
    add_both(rows, config, row);
    row.operation = "adaptive_layer_norm";
    row.cost = adaptive_layer_norm_cost(shape, pass, element_bytes(config));
    add_both(rows, config, row);
  }
}

// The peer's rows of the work that this run measures, with its cost; warns of what the file lacks.
std::vector<BenchRow> peer_rows(const PeerFile& peer, const std::vector<BenchRow>& plan, const std::string& file, const std::string& device) {
  for (const std::string& line : peer.skipped) log_warning("{}: {}; left out", file, line);
  for (const std::string& name : peer.devices)
    if (name != device) log_warning("{}: it was measured on {}, this run is on {}: the two do not compare", file, name, device);
  std::vector<BenchRow> rows;
  for (BenchRow row : peer.rows) {
    const auto same = std::find_if(plan.begin(), plan.end(), [&](const BenchRow& planned) { return same_work(planned, row); });
    if (same == plan.end()) continue;
    row.cost = same->cost;
    rows.push_back(row);
  }
  if (rows.empty()) log_warning("{}: none of its {} lines has an operation, shape, map, dtype and pass of this run", file, peer.rows.size());
  return rows;
}

void print_line(const BenchRow& row) {
  std::printf("%s\n", bench_text_line(row).c_str());
  std::fflush(stdout);
}

void write_results(const RunDirectory& run, const std::vector<BenchRow>& rows, const BenchAttentionSummary& summary) {
  const CardState& card = summary.card;
  write_file_atomically(run.file("results.csv"), bench_csv(rows));
  std::string about = to_json(summary);
  about.erase(about.find_last_of('}'));
  while (about.back() == '\n' || about.back() == ' ') about.pop_back();
  write_file_atomically(run.file("results.json"), about + ",\n  \"results\": " + bench_json(rows) + "\n}\n");
  std::string text = fmt::format(
      "# Attention and norms on {}\n\nLibTorch {}, CUDA {}, cuDNN {}. Copy {:.0f} GB/s, GEMM {:.1f} TFLOP/s, measured in this run.\n", card.device,
      card.libtorch, card.cuda.empty() ? "none" : card.cuda, card.cudnn.empty() ? "none" : card.cudnn, summary.copy_gb_per_s, summary.gemm_tflop_per_s);
  if (!card.clocks_before.empty())
    text += fmt::format("Clocks (SM, memory, their maxima), power, limit, temperature, driver: {} before, {} after.\n", card.clocks_before, card.clocks_after);
  text +=
      "\nus: median of one call by itself; queued us: mean of calls that queue. Floor: the larger of bytes over the copy rate and FLOP over the GEMM rate. "
      "x libtorch, x compiled: their time over linden's.\n\n" +
      bench_markdown(rows);
  write_file_atomically(run.file("table.md"), text);
}

}  // namespace

void visit_fields(FieldVisitor& v, BenchAttentionConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("shapes", "B,N,H,D of the attention, each a text"), c.shapes);
  visit(v, Field("norm_shapes", "B,N,H,D of the norms, of width H D; empty: no norms"), c.norm_shapes);
  visit(v, Field("feature_maps", "maps of linear attention; empty: no linear attention"), c.feature_maps);
  visit(v, Field("softmax_backends", "of softmax attention: cudnn, flash, efficient, math; empty: no softmax attention"), c.softmax_backends);
  visit(v, Field("passes", "forward, backward (timed by itself)"), c.passes);
  visit(v, Field("libtorch", "time LibTorch's own expressions, too"), c.libtorch);
  visit(v, Field("dtype", "bfloat16, float16 or float32").one_of({"bfloat16", "float16", "float32"}), c.dtype);
  visit(v, Field("repeats", "calls that a median is over; fewer, at least 5, where one takes more than 20 ms").at_least(1), c.repeats);
  visit(v, Field("copy_megabytes", "tensor that is copied for the copy rate: more than the L2 cache").at_least(1), c.copy_megabytes);
  visit(v, Field("gemm_size", "rows, columns and inner size of the product for the GEMM rate").at_least(64), c.gemm_size);
  visit(v, Field("peer", "output of scripts/bench/attention_torch.py on this card, put into the same table; empty: none"), c.peer);
}

void visit_fields(FieldVisitor& v, BenchAttentionSummary& c) {
  visit(v, Field("card", "what it ran on"), c.card);
  visit(v, Field("copy_gb_per_s", "GB read and GB written a second"), c.copy_gb_per_s);
  visit(v, Field("gemm_tflop_per_s", "of a square product"), c.gemm_tflop_per_s);
  visit(v, Field("peer_devices", "cards that the peer file names"), c.peer_devices);
  visit(v, Field("peer_torch", "torch versions that the peer file names"), c.peer_torch);
  visit(v, Field("rows", "lines of the table"), c.rows);
  visit(v, Field("rows_failed", "of them without a time"), c.rows_failed);
}

std::vector<BenchRow> plan_bench_attention(const BenchAttentionConfig& config) {
  check_names(config.feature_maps, feature_map_names(), "feature_maps");
  check_names(config.softmax_backends, backend_names(), "softmax_backends");
  check_names(config.passes, {"forward", "backward"}, "passes");
  std::vector<BenchRow> rows;
  for (const std::string& text : config.shapes) add_attention(rows, config, bench_shape_of(text, "shapes"));
  for (const std::string& text : config.norm_shapes) add_norms(rows, config, bench_shape_of(text, "norm_shapes"));
  check_input(!rows.empty(), "nothing to measure: shapes and norm_shapes, feature_maps and softmax_backends, or passes are empty");
  return rows;
}

std::string describe_bench_attention(const BenchAttentionConfig& config) {
  std::string text =
      to_json(config) + fmt::format("\n\n{:<20}{:<17}{:<13}{:<10}{:<12}{:>10}{:>10}\n", "operation", "B,N,H,D", "map", "pass", "by", "MB", "GFLOP");
  for (const BenchRow& row : plan_bench_attention(config)) {
    text += fmt::format("{:<20}{:<17}{:<13}{:<10}{:<12}{:>10.1f}{:>10.1f}{}\n", row.operation, fmt::format("{}", fmt::join(row.shape.sizes(), ",")), row.map,
                        name_of(row.pass), row.implementation, row.cost.bytes * 1e-6, row.cost.flop * 1e-9, row.error.empty() ? "" : "  " + row.error);
  }
  return text;
}

void run_bench_attention(BenchAttentionConfig config, const RunOptions& options) {
  std::vector<BenchRow> plan = plan_bench_attention(config), rows;
  const PeerFile peer = config.peer.empty() ? PeerFile{} : read_peer_file(config.peer);
  const at::Device device = set_up_device(config.run, Float32Math::kTf32);
  ConfigRefOf<BenchAttentionConfig> ref(config);
  RunDirectory run(options, ref);
  const DeviceClock clock(device, config.repeats);
  BenchAttentionSummary summary{.card = card_state(device), .peer_devices = peer.devices, .peer_torch = peer.torch};
  const CardRates rates{measure_copy_rate(clock, config.copy_megabytes),
                        measure_gemm_rate(clock, config.gemm_size, config.gemm_size, config.gemm_size, bench_dtype_of(config.dtype))};
  summary.card.clocks_before = clocks_and_power(device);
  summary.copy_gb_per_s = rates.copy_gb_per_s;
  summary.gemm_tflop_per_s = rates.gemm_tflop_per_s;
  clock.empty_cache();
  std::vector<BenchRow> peers = config.peer.empty() ? std::vector<BenchRow>() : peer_rows(peer, plan, config.peer, summary.card.device);
  std::printf("%s: copy %.0f GB/s, GEMM %.1f TFLOP/s %s\n%s\n", summary.card.device.c_str(), rates.copy_gb_per_s, rates.gemm_tflop_per_s,
              summary.card.clocks_before.c_str(), bench_text_header().c_str());
  for (BenchRow& row : plan) {
    row.floor_us = floor_microseconds(row.cost, rates);
    const auto is_same = [&](const BenchRow& other) { return same_work(row, other); };
    const bool is_new = std::none_of(rows.begin(), rows.end(), is_same);
    for (BenchRow& other : peers) {  // before the first row of the same work
      if (!is_new || !is_same(other)) continue;
      other.floor_us = row.floor_us;
      rows.push_back(other);
      print_line(other);
    }
    time_row(row, static_cast<uint64_t>(config.run.seed), clock);
    rows.push_back(row);
    set_speed_ups(rows);
    print_line(rows.back());
    summary.rows_failed += !rows.back().error.empty();
  }
  summary.card.clocks_after = clocks_and_power(device);
  summary.rows = static_cast<int64_t>(rows.size());
  write_results(run, rows, summary);
  ConfigRefOf<BenchAttentionSummary> summary_ref(summary);
  run.write_summary(summary_ref);
}

}  // namespace linden
