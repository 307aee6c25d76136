// Keys, sizes and the prediction of bench_dit.h.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "experiment/bench_dit.h"

namespace linden {

VideoDitConfig wan_1_3b() {
  VideoDitConfig c;
  c.num_attention_heads = 12;
  c.ffn_dim = 8960;
  c.num_layers = 30;
  return c;
}

void visit_fields(FieldVisitor& v, PredictionRates& c) {
  visit(v, Field("copy_gb_per_s", "GB read and GB written a second").above(0), c.copy_gb_per_s);
  visit(v, Field("gemm_tflop_per_s", "of the products").above(0), c.gemm_tflop_per_s);
  visit(v, Field("self_attention_tflop_per_s", "of softmax attention").above(0), c.self_attention_tflop_per_s);
  visit(v, Field("cross_attention_tflop_per_s", "of attention to the text").above(0), c.cross_attention_tflop_per_s);
}

void visit_fields(FieldVisitor& v, BenchDitConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("model", "the layout; defaults are Wan 2.1 T2V 1.3B"), c.model);
  visit(v, Field("weights", "formula:SEED; time does not depend on them"), c.weights);
  visit(v, Field("linear_blocks", "numbers of blocks with linear attention, a row each; 0: all softmax").at_least(0), c.linear_blocks);
  visit(v, Field("frames", "of the video, 1 more than a multiple of 4").at_least(1), c.frames);
  visit(v, Field("height", "of the video in pixels").at_least(8), c.height);
  visit(v, Field("width", "of the video in pixels").at_least(8), c.width);
  visit(v, Field("text_tokens", "padding included").at_least(1), c.text_tokens);
  visit(v, Field("batch", "videos; 2: one with guidance").at_least(1), c.batch);
  visit(v, Field("dtype", "bfloat16, float16 or float32").one_of({"bfloat16", "float16", "float32"}), c.dtype);
  visit(v, Field("repeats", "passes that the median is over; fewer, at least 5, where one takes more than 100 ms").at_least(1), c.repeats);
  visit(v, Field("stage_passes", "passes with a clock on every stage").at_least(1), c.stage_passes);
  visit(v, Field("copy_megabytes", "tensor that is copied for the copy rate: more than the L2 cache").at_least(1), c.copy_megabytes);
  visit(v, Field("gemm_size", "of the square product for the GEMM rate of linear attention").at_least(64), c.gemm_size);
  visit(v, Field("peer", "output of scripts/bench/diffusers_wan.py on this card, put into the same table; empty: none"), c.peer);
  visit(v, Field("predict", "rates that --dry-run predicts with; defaults: H100"), c.predict);
}

void visit_fields(FieldVisitor& v, BenchDitSummary& c) {
  visit(v, Field("card", "what it ran on"), c.card);
  visit(v, Field("tokens", "of a video"), c.tokens);
  visit(v, Field("copy_gb_per_s", "GB read and GB written a second"), c.copy_gb_per_s);
  visit(v, Field("gemm_tflop_per_s", "of a square product"), c.gemm_tflop_per_s);
  visit(v, Field("self_attention_tflop_per_s", "softmax, by itself at this shape"), c.self_attention_tflop_per_s);
  visit(v, Field("cross_attention_tflop_per_s", "to the text, by itself at this shape"), c.cross_attention_tflop_per_s);
  visit(v, Field("linear_blocks", "blocks with linear attention"), c.linear_blocks);
  visit(v, Field("ms", "median time of a forward pass"), c.ms);
  visit(v, Field("peak_gb", "most memory in use; 0: not known (CPU)"), c.peak_gb);
  visit(v, Field("predicted_peak_gb", "the same as --dry-run predicts it"), c.predicted_peak_gb);
  visit(v, Field("tflop", "of a forward pass"), c.tflop);
  visit(v, Field("tflop_per_s", "achieved"), c.tflop_per_s);
  visit(v, Field("floor_ms", "sum of the stages' floors"), c.floor_ms);
  visit(v, Field("share_of_floor", "floor_ms / ms"), c.share_of_floor);
  visit(v, Field("speed_up", "over 0 linear blocks, or over the first row where there are none"), c.speed_up);
  visit(v, Field("over_compiled", "time of the peer's compiled pass over ours; 0: none"), c.over_compiled);
  visit(v, Field("peer_modes", "passes of the peer: eager, compiled"), c.peer_modes);
  visit(v, Field("peer_ms", "their times"), c.peer_ms);
  visit(v, Field("peer_peak_gb", "their most memory in use; 0: not known"), c.peer_peak_gb);
  visit(v, Field("stages_ms", "sum of the stages, each with its clock"), c.stages_ms);
}

DitWork dit_work(const BenchDitConfig& c, int64_t linear_blocks) {
  check_video_dit_config(c.model);
  check_input((c.frames - 1) % 4 == 0, "frames is {}, wanted 1 more than a multiple of 4: 1, 5, ... 81", c.frames);
  const int64_t latents[3] = {(c.frames - 1) / 4 + 1, c.height / 8, c.width / 8};
  const char* const names[3] = {"frames", "height", "width"};
  const int64_t pixels[3] = {c.frames, c.height, c.width};
  int64_t tokens = 1;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t patch = c.model.patch_size[axis];
    check_input((axis == 0 || pixels[axis] % 8 == 0) && latents[axis] % patch == 0,
                "{} is {}: that is {} latents, wanted a whole number that the patch's {} divides", names[axis], pixels[axis],
                axis == 0 || pixels[axis] % 8 == 0 ? std::to_string(latents[axis]) : fmt::format("{:.3f}", static_cast<double>(pixels[axis]) / 8), patch);
    tokens *= latents[axis] / patch;
  }
  check_input(c.text_tokens <= c.model.text_len, "text_tokens is {}, but model.text_len is {}", c.text_tokens, c.model.text_len);
  check_input(linear_blocks <= c.model.num_layers, "linear_blocks: {} is more than the model's {} blocks", linear_blocks, c.model.num_layers);
  check_input(c.model.attention.empty(), "model.attention is set by linear_blocks here; leave it out");
  return {c.batch, tokens, c.text_tokens, c.dtype == "float32" ? 4 : 2, linear_blocks};
}

std::string describe_bench_dit(const BenchDitConfig& config) {
  check_input(!config.linear_blocks.empty(), "linear_blocks is empty, wanted at least one number, for example [0]");
  const PredictionRates& p = config.predict;
  const DitRates rates{p.copy_gb_per_s, p.gemm_tflop_per_s, {}, p.self_attention_tflop_per_s, p.cross_attention_tflop_per_s};
  std::string text = to_json(config) + "\n";
  double dense = 0;
  for (const int64_t linear : config.linear_blocks) {
    const DitWork work = dit_work(config, linear);
    const std::vector<DitStage> stages = dit_stages(config.model, work);
    const double ms = floor_ms(stages, rates), tflop = 1e-12 * total_of(stages).flop;
    if (dense == 0) dense = ms;
    text += fmt::format(
        "\n{} of {} blocks linear: {} tokens, {:.2f} G weights, {:.2f} TFLOP; predicted {:.1f} ms ({:.0f} TFLOP/s, {:.2f} times as fast as the first row), "
        "{:.1f} GB\n",
        linear, config.model.num_layers, work.tokens, 1e-9 * num_weights(config.model), tflop, ms, 1e3 * tflop / ms, dense / ms,
        predicted_peak_gb(config.model, work));
    text += fmt::format("{:<20}{:>6}{:>12}{:>10}{:>10}\n", "stage", "calls", "GFLOP", "MB", "ms");
    for (const DitStage& stage : stages)
      text += fmt::format("{:<20}{:>6}{:>12.1f}{:>10.0f}{:>10.2f}\n", stage.name, stage.calls, 1e-9 * stage.cost.flop, 1e-6 * stage.cost.bytes,
                          stage_floor_ms(stage, rates));
  }
  return text;
}

}  // namespace linden
