#include "experiment/bench_dit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "experiment/bench_stages.h"
#include "models/formula_weights.h"
#include "models/video_dit.h"
#include "ops/attention.h"
#include "ops/philox_normal.h"

namespace linden {
namespace {

struct StageRow {
  DitStage stage;
  double ms = 0, floor_ms = 0;
};
// One number of linear blocks.
struct Mix {
  DitWork work;
  CallTiming timing;
  Cost cost;
  double floor_ms = 0, speed_up = 1, over_compiled = 0;
  std::vector<StageRow> stages;
  double ms() const { return 1e-3 * timing.us; }
  double stages_ms() const {
    double total = 0;
    for (const StageRow& row : stages) total += row.ms;
    return total;
  }
};

struct Inputs {
  at::Tensor latents, timestep, text;  // [B, C, F, Y, X], [B], [B, L, text_dim]
};

at::Tensor normal(at::IntArrayRef sizes, int64_t index, at::TensorOptions options) {
  const at::Tensor one = at::full({1}, index, options.dtype(at::kLong));
  return philox_normal(0, Purpose::kData, one, at::zeros_like(one), sizes)[0].to(options.dtype());
}

// One model for all mixes: blocks are gated where some mix wants them linear, and a gate of 0 or 1 is decided by freeze().
VideoDit make_model(const BenchDitConfig& config, at::Device device) {
  VideoDitConfig layout = config.model;
  const bool some_linear = std::any_of(config.linear_blocks.begin(), config.linear_blocks.end(), [](int64_t n) { return n > 0; });
  layout.attention = {some_linear ? "gated" : "softmax"};
  log_info("making {:.2f} G weights", 1e-9 * num_weights(config.model));
  VideoDit model(layout);
  set_formula_weights(*model, formula_seed(config.weights));
  model->eval();
  model->to(device, bench_dtype_of(config.dtype));
  return model;
}

void set_linear_blocks(VideoDit& model, int64_t linear) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < model->blocks().size(); ++i) {
    at::Tensor gate = model->blocks()[i]->self_attention()->gate();
    if (gate.defined()) gate.fill_(static_cast<int64_t>(i) < linear ? 0 : 1);
  }
  model->freeze();
}

Inputs make_inputs(const BenchDitConfig& config, at::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(bench_dtype_of(config.dtype)).device(device);
  const at::Tensor latents = normal({config.batch, config.model.in_channels, (config.frames - 1) / 4 + 1, config.height / 8, config.width / 8}, 0, options);
  const at::Tensor text = normal({config.batch, config.text_tokens, config.model.text_dim}, 1, options);
  return {latents, at::full({config.batch}, 500.0, options.dtype(at::kFloat)), text};
}

// TFLOP/s of softmax attention by itself, queries of the video.
double attention_rate(const BenchDitConfig& config, const DitWork& work, int64_t keys, const DeviceClock& clock) {
  const at::NoGradGuard no_grad;
  const int64_t H = config.model.num_attention_heads, D = config.model.attention_head_dim;
  const at::TensorOptions options = at::TensorOptions().dtype(bench_dtype_of(config.dtype)).device(clock.device());
  const at::Tensor q = normal({work.batch, work.tokens, H, D}, 2, options), k = normal({work.batch, keys, H, D}, 3, options),
                   v = normal({work.batch, keys, H, D}, 4, options);
  const CallTiming timing = clock.time([&](int64_t) { return std::vector<at::Tensor>{softmax_attention(q, k, v, {})}; });
  return 4 * static_cast<double>(q.numel()) * static_cast<double>(keys) / timing.us * 1e-6;
}

// The rates of this card at the shapes of the pass.
DitRates measure_rates(const BenchDitConfig& config, const DeviceClock& clock) {
  const at::ScalarType dtype = bench_dtype_of(config.dtype);
  const DitWork work = dit_work(config, 0);
  DitRates rates;
  rates.copy_gb_per_s = measure_copy_rate(clock, config.copy_megabytes);
  rates.gemm_tflop_per_s = measure_gemm_rate(clock, config.gemm_size, config.gemm_size, config.gemm_size, dtype);
  for (const DitStage& stage : dit_stages(config.model, work))
    if (stage.limit == DitLimit::kGemm && !rates.gemm_at.contains(stage.gemm))
      rates.gemm_at[stage.gemm] = measure_gemm_rate(clock, stage.gemm[0], stage.gemm[1], stage.gemm[2], dtype);
  rates.self_attention_tflop_per_s = attention_rate(config, work, work.tokens, clock);
  rates.cross_attention_tflop_per_s = attention_rate(config, work, work.text_tokens, clock);
  clock.empty_cache();
  return rates;
}

Mix measure(VideoDit& model, const Inputs& inputs, const BenchDitConfig& config, int64_t linear, const DitRates& rates, const DeviceClock& clock) {
  const at::NoGradGuard no_grad;
  set_linear_blocks(model, linear);
  Mix mix{.work = dit_work(config, linear), .timing = {}, .cost = {}, .stages = {}};
  mix.timing = clock.time([&](int64_t) { return std::vector<at::Tensor>{model->forward(inputs.latents, inputs.timestep, inputs.text)}; });
  const std::vector<DitStage> stages = dit_stages(config.model, mix.work);
  mix.cost = total_of(stages);
  mix.floor_ms = floor_ms(stages, rates);
  const std::vector<StageTime> times = time_stages(
      clock.device(), [&] { model->forward(inputs.latents, inputs.timestep, inputs.text); }, config.stage_passes);
  for (const StageTime& time : times) {
    const auto found = std::find_if(stages.begin(), stages.end(), [&](const DitStage& stage) { return stage.name == time.name; });
    if (found != stages.end()) mix.stages.push_back({*found, time.ms, stage_floor_ms(*found, rates)});
    else mix.stages.push_back({{time.name, time.calls, {}, DitLimit::kBytes, {}}, time.ms, 0});
  }
  return mix;
}

std::string or_dash(double value, int digits) { return std::isnan(value) || value == 0 ? "-" : fmt::format("{:.{}f}", value, digits); }

std::vector<std::string> mix_cells(const Mix& mix) {
  const double tflop = 1e-12 * mix.cost.flop;
  return {std::to_string(mix.work.linear_blocks),
          fmt::format("{:.2f}", mix.ms()),
          fmt::format("{:.2f}", 1e-3 * mix.timing.queued_us),
          or_dash(mix.timing.peak_gb, 2),
          fmt::format("{:.3g}", tflop),
          fmt::format("{:.3g}", 1e3 * tflop / mix.ms()),
          fmt::format("{:.2f}", mix.floor_ms),
          fmt::format("{:.1f}", 100 * mix.floor_ms / mix.ms()),
          fmt::format("{:.3f}", mix.speed_up),
          or_dash(mix.over_compiled, 3),
          fmt::format("{:.2f}", mix.stages_ms())};
}
const std::vector<std::string> kMixTitles = {"linear blocks", "ms",         "queued ms", "peak GB",    "TFLOP",           "TFLOP/s",
                                             "floor ms",      "% of floor", "speed-up",  "x compiled", "sum of stages ms"};

std::vector<std::string> stage_cells(const StageRow& row, double whole_ms) {
  const Cost& cost = row.stage.cost;
  return {row.stage.name,
          std::to_string(row.stage.calls),
          fmt::format("{:.3f}", row.ms),
          fmt::format("{:.1f}", 100 * row.ms / whole_ms),
          or_dash(cost.flop / row.ms * 1e-9, 1),
          or_dash(cost.bytes / row.ms * 1e-6, 0),
          fmt::format("{:.3f}", row.floor_ms),
          or_dash(100 * row.floor_ms / row.ms, 1)};
}
const std::vector<std::string> kStageTitles = {"stage", "calls", "ms", "% of sum", "TFLOP/s", "GB/s", "floor ms", "% of floor"};

// What the peer's file holds of this very pass; warns of the rest.
std::vector<PeerPass> peer_passes(const BenchDitConfig& config, const std::string& device) {
  if (config.peer.empty()) return {};
  const PeerPasses peer = read_peer_passes(config.peer);
  for (const std::string& line : peer.skipped) log_warning("{}: {}; left out", config.peer, line);
  const DitWork work = dit_work(config, 0);
  std::vector<PeerPass> passes;
  for (const PeerPass& pass : peer.passes) {
    const int64_t width = config.model.num_attention_heads * config.model.attention_head_dim;
    const bool same = pass.tokens == work.tokens && pass.layers == config.model.num_layers && pass.dtype == config.dtype &&
                      (pass.batch == 0 || pass.batch == config.batch) && (pass.text_tokens == 0 || pass.text_tokens == config.text_tokens) &&
                      (pass.width == 0 || pass.width == width);
    if (!same) {
      log_warning("{}: a pass of {} tokens, {} blocks, {}, batch {}, {} of text, width {} (0: not said); this run has {}, {}, {}, {}, {}, {}; left out",
                  config.peer, pass.tokens, pass.layers, pass.dtype, pass.batch, pass.text_tokens, pass.width, work.tokens, config.model.num_layers,
                  config.dtype, config.batch, config.text_tokens, width);
      continue;
    }
    if (pass.device != device) log_warning("{}: it was measured on {}, this run is on {}: the two do not compare", config.peer, pass.device, device);
    passes.push_back(pass);
  }
  return passes;
}

// A peer's pass under the titles of the mixes; its work and floor are those of softmax everywhere.
std::vector<std::string> peer_cells(const PeerPass& pass, const Cost& cost, double floor) {
  const double tflop = 1e-12 * cost.flop;
  return {"diffusers " + pass.mode,
          fmt::format("{:.2f}", pass.ms),
          "-",
          or_dash(pass.peak_gb, 2),
          fmt::format("{:.3g}", tflop),
          fmt::format("{:.3g}", 1e3 * tflop / pass.ms),
          fmt::format("{:.2f}", floor),
          fmt::format("{:.1f}", 100 * floor / pass.ms),
          "-",
          "-",
          "-"};
}

std::string markdown(const std::vector<std::string>& titles, const std::vector<std::vector<std::string>>& rows) {
  const auto line = [](const std::vector<std::string>& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) text += " " + cell + " |";
    return text + "\n";
  };
  std::string text = line(titles) + "|";
  for (size_t i = 0; i < titles.size(); ++i) text += i == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const auto& row : rows) text += line(row);
  return text;
}

void print_row(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) std::printf(i == 0 ? "%-18s" : "%17s", cells[i].c_str());
  std::printf("\n");
  std::fflush(stdout);
}

void print_mix(const Mix& mix) {
  print_row(kMixTitles);
  print_row(mix_cells(mix));
  print_row(kStageTitles);
  for (const StageRow& row : mix.stages) print_row(stage_cells(row, mix.stages_ms()));
}

void write_results(const RunDirectory& run, const std::vector<std::vector<std::string>>& peer_rows, const std::vector<Mix>& mixes,
                   const BenchDitSummary& summary) {
  std::string csv = "linear_blocks,ms,queued_ms,repeats,peak_gb,predicted_peak_gb,tflop,tflop_per_s,floor_ms,share_of_floor,speed_up,over_compiled,stages_ms\n";
  std::string stages = "linear_blocks,stage,calls,ms,flop,bytes,floor_ms\n";
  std::string text = fmt::format(
      "# The video transformer on {}\n\nLibTorch {}, CUDA {}, cuDNN {}. {} tokens a video. In this run: copy {:.0f} GB/s, products {:.4g} TFLOP/s, attention "
      "{:.4g}, to the text {:.4g}.\n",
      summary.card.device, summary.card.libtorch, summary.card.cuda, summary.card.cudnn.empty() ? "none" : summary.card.cudnn, summary.tokens,
      summary.copy_gb_per_s, summary.gemm_tflop_per_s, summary.self_attention_tflop_per_s, summary.cross_attention_tflop_per_s);
  if (!summary.card.clocks_before.empty())
    text += fmt::format("Clocks (SM, memory, their maxima), power, limit, temperature, driver: {} before, {} after.\n", summary.card.clocks_before,
                        summary.card.clocks_after);
  std::vector<std::vector<std::string>> rows = peer_rows;
  std::string stage_tables;
  for (size_t i = 0; i < mixes.size(); ++i) {
    const Mix& mix = mixes[i];
    rows.push_back(mix_cells(mix));
    csv += fmt::format("{},{:.6g},{:.6g},{},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g}\n", mix.work.linear_blocks, mix.ms(),
                       1e-3 * mix.timing.queued_us, mix.timing.repeats, summary.peak_gb[i], summary.predicted_peak_gb[i], summary.tflop[i],
                       summary.tflop_per_s[i], mix.floor_ms, summary.share_of_floor[i], mix.speed_up, mix.over_compiled, mix.stages_ms());
    std::vector<std::vector<std::string>> table;
    for (const StageRow& row : mix.stages) {
      table.push_back(stage_cells(row, mix.stages_ms()));
      stages += fmt::format("{},{},{},{:.6g},{:.6g},{:.6g},{:.6g}\n", mix.work.linear_blocks, row.stage.name, row.stage.calls, row.ms, row.stage.cost.flop,
                            row.stage.cost.bytes, row.floor_ms);
    }
    stage_tables += fmt::format("\n## {} linear blocks\n\n", mix.work.linear_blocks) + markdown(kStageTitles, table);
  }
  write_file_atomically(run.file("results.csv"), csv);
  write_file_atomically(run.file("stages.csv"), stages);
  write_file_atomically(run.file("table.md"), text + "\n" + markdown(kMixTitles, rows) + stage_tables);
}

BenchDitSummary summary_of(const std::vector<Mix>& mixes, const BenchDitConfig& config, const DitRates& rates, const CardState& card) {
  BenchDitSummary s{.card = card,
                    .linear_blocks = {},
                    .ms = {},
                    .peak_gb = {},
                    .predicted_peak_gb = {},
                    .tflop = {},
                    .tflop_per_s = {},
                    .floor_ms = {},
                    .share_of_floor = {},
                    .speed_up = {},
                    .over_compiled = {},
                    .stages_ms = {},
                    .peer_modes = {},
                    .peer_ms = {},
                    .peer_peak_gb = {}};
  s.tokens = mixes.front().work.tokens;
  s.copy_gb_per_s = rates.copy_gb_per_s;
  s.gemm_tflop_per_s = rates.gemm_tflop_per_s;
  s.self_attention_tflop_per_s = rates.self_attention_tflop_per_s;
  s.cross_attention_tflop_per_s = rates.cross_attention_tflop_per_s;
  for (const Mix& mix : mixes) {
    s.linear_blocks.push_back(mix.work.linear_blocks);
    s.ms.push_back(mix.ms());
    s.peak_gb.push_back(std::isnan(mix.timing.peak_gb) ? 0 : mix.timing.peak_gb);
    s.predicted_peak_gb.push_back(predicted_peak_gb(config.model, mix.work));
    s.tflop.push_back(1e-12 * mix.cost.flop);
    s.tflop_per_s.push_back(1e-9 * mix.cost.flop / mix.ms());
    s.floor_ms.push_back(mix.floor_ms);
    s.share_of_floor.push_back(mix.floor_ms / mix.ms());
    s.speed_up.push_back(mix.speed_up);
    s.over_compiled.push_back(mix.over_compiled);
    s.stages_ms.push_back(mix.stages_ms());
  }
  return s;
}

}  // namespace

void run_bench_dit(BenchDitConfig config, const RunOptions& options) {
  check_input(!config.linear_blocks.empty(), "linear_blocks is empty, wanted at least one number, for example [0]");
  for (const int64_t linear : config.linear_blocks) dit_work(config, linear);
  formula_seed(config.weights);
  if (!config.peer.empty()) read_peer_passes(config.peer);  // before anything is made
  const at::Device device = set_up_device(config.run, Float32Math::kTf32);
  ConfigRefOf<BenchDitConfig> ref(config);
  RunDirectory run(options, ref);
  CardState card = card_state(device);
  const DeviceClock clock(device, config.repeats);
  const std::vector<PeerPass> peers = peer_passes(config, card.device);
  const DitRates rates = measure_rates(config, clock);
  card.clocks_before = clocks_and_power(device);
  std::printf("%s: copy %.0f GB/s, products %.4g TFLOP/s, attention %.4g, to the text %.4g; %s\n", card.device.c_str(), rates.copy_gb_per_s,
              rates.gemm_tflop_per_s, rates.self_attention_tflop_per_s, rates.cross_attention_tflop_per_s, card.clocks_before.c_str());
  for (const auto& [shape, rate] : rates.gemm_at)
    std::printf("  product %lld x %lld x %lld: %.4g TFLOP/s\n", static_cast<long long>(shape[0]), static_cast<long long>(shape[1]),
                static_cast<long long>(shape[2]), rate);
  VideoDit model = make_model(config, device);
  const Inputs inputs = make_inputs(config, device);
  std::vector<std::vector<std::string>> peer_rows;
  const std::vector<DitStage> dense = dit_stages(config.model, dit_work(config, 0));
  for (const PeerPass& peer : peers) peer_rows.push_back(peer_cells(peer, total_of(dense), floor_ms(dense, rates)));
  std::vector<Mix> mixes;
  // The row that the others are compared with comes first.
  std::stable_partition(config.linear_blocks.begin(), config.linear_blocks.end(), [](int64_t linear) { return linear == 0; });
  for (const int64_t linear : config.linear_blocks) {
    mixes.push_back(measure(model, inputs, config, linear, rates, clock));
    for (const PeerPass& peer : peers)
      if (peer.mode == "compiled") mixes.back().over_compiled = peer.ms / mixes.back().ms();
    mixes.back().speed_up = mixes.front().timing.us / mixes.back().timing.us;
    print_mix(mixes.back());
    write_results(run, peer_rows, mixes, summary_of(mixes, config, rates, card));  // what is measured stays where a later mix fails or the time is up
  }
  card.clocks_after = clocks_and_power(device);
  BenchDitSummary summary = summary_of(mixes, config, rates, card);
  for (const auto& cells : peer_rows) print_row(cells);
  for (const PeerPass& peer : peers) {
    summary.peer_modes.push_back(peer.mode);
    summary.peer_ms.push_back(peer.ms);
    summary.peer_peak_gb.push_back(std::isnan(peer.peak_gb) ? 0 : peer.peak_gb);
  }
  write_results(run, peer_rows, mixes, summary);
  ConfigRefOf<BenchDitSummary> summary_ref(summary);
  run.write_summary(summary_ref);
}

}  // namespace linden
