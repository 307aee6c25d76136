#include "experiment/transfer_run.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <numeric>

#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "experiment/bench_cost.h"
#include "experiment/bench_dit_cost.h"
#include "experiment/transfer_report.h"
#include "io/event_sink.h"
#include "models/video_model.h"
#include "ops/attention_run.h"
#include "transfer/trajectory_manifest.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

// summary.json.
struct TransferRunSummary {
  TransferResult result;
  bool measured = false, teacher_measured = false;
  ClipSummary student, teacher;
};
void visit_fields(FieldVisitor& v, TransferRunSummary& s) {
  visit_fields(v, s.result);
  if (!s.measured) return;
  visit(v, Field("student", "clips of the finished student"), s.student);
  if (!s.teacher_measured) return;
  visit(v, Field("teacher", "clips of the teacher, same seeds and captions"), s.teacher);
}

// Clips 0 .. of the run's seed under the trajectories' prompts in turn, with what these say.
ClipSummary measure(const TransferRunConfig& config, const fs::path& folder, const std::string& weights, const TrajectoryManifest& manifest,
                    at::Device device) {
  const at::NoGradGuard no_grad;
  const VideoModel model = load_video_model(folder, weights, at::kFloat, device);
  const at::Tensor text = model.text_encoder->encode(manifest.prompts), none = model.text_encoder->encode(std::vector<std::string>{manifest.negative_prompt});
  const FlowSampler sampler(manifest.sampler);
  std::vector<int64_t> digit, motion;
  std::vector<at::Tensor> clips;
  const auto prompts = static_cast<int64_t>(manifest.prompts.size());
  Progress progress("clips", config.num_clips, "clip", 0);
  for (int64_t first = 0; first < config.num_clips; first += config.clip_batch) {
    progress.update(first);
    if (interrupt_requested()) throw Interrupted("interrupted while clips were drawn to be measured; the finished model is saved: --resume measures it");
    std::vector<int64_t> indices(static_cast<size_t>(std::min(config.clip_batch, config.num_clips - first)));
    std::iota(indices.begin(), indices.end(), first);
    for (const int64_t i : indices) {
      const ClipLabel label = clip_label(manifest.prompts[static_cast<size_t>(i % prompts)]);
      digit.push_back(label.digit);
      motion.push_back(label.motion);
    }
    const at::Tensor captions = text.index_select(0, at::tensor(indices, at::kLong).remainder(prompts).to(device));
    clips.push_back(draw_video(model.transformer, {sampler, config.transfer.guidance, captions, none, manifest.latent_shape},
                               static_cast<uint64_t>(config.transfer.run.seed), indices)
                        .cpu());
  }
  progress.finish();
  return measure_clips(at::cat(clips), at::tensor(digit, at::kLong), at::tensor(motion, at::kLong), config.clips, device);
}

double gigabytes(double bytes) { return bytes / 1e9; }

}  // namespace

void visit_fields(FieldVisitor& v, TransferRunConfig& c) {
  visit_fields(v, c.transfer);
  visit(v, Field("clips", "who measures the finished student's clips; without a judge they are not measured"), c.clips);
  visit(v, Field("measure_teacher", "the teacher's clips are measured too; needless in a sweep, where one cell a seed tells it"), c.measure_teacher);
  visit(v, Field("num_clips", "clips of the student, and of the teacher, that are measured").at_least(2), c.num_clips);
  visit(v, Field("clip_batch", "clips that are drawn at once").at_least(1), c.clip_batch);
}

std::string transfer_cost_table(const TransferConfig& c) {
  const VideoModelLayout layout = read_video_model_layout(c.teacher);
  const VideoDitConfig& d = layout.transformer;
  const auto M = static_cast<double>(model_width(d)), F = static_cast<double>(d.ffn_dim), L = static_cast<double>(d.num_layers),
             D = static_cast<double>(d.attention_head_dim);
  std::vector<int64_t> shape = layout.sample_shape;
  double stored = 0;
  std::string pairs = "not there yet";
  if (!c.trajectories.empty() && fs::exists(fs::path(c.trajectories) / kManifestFile)) {
    const TrajectoryManifest manifest = read_manifest(c.trajectories);
    shape = manifest.latent_shape;
    stored = static_cast<double>(manifest.num_trajectories * manifest.trajectory_bytes());
    pairs = fmt::format("{} pairs, {:.2f} GB", manifest.num_pairs(), gigabytes(stored));
  } else if (c.trajectories.empty()) {
    const int64_t wanted[] = {0, c.rolling.frames, c.rolling.height, c.rolling.width};
    for (size_t i = 1; i < 4; ++i)
      if (wanted[i] > 0) shape[i] = wanted[i];
    const auto kept = static_cast<int64_t>(kept_steps(c.rolling.keep, schedule_of(c.rolling.sampler).num_steps).size());
    const int64_t held = (c.rolling.buffer.capacity + c.num_held_out) * kept * (c.rolling.store == "x" ? 1 : 2);
    stored = static_cast<double>(held * shape[0] * shape[1] * shape[2] * shape[3] * (c.rolling.dtype == "bf16" ? 2 : 4));
    pairs = fmt::format("made on the way: {} pairs at hand, {:.2f} GB, {} new paths every {} steps", c.rolling.buffer.capacity * kept, gigabytes(stored),
                        c.rolling.buffer.refill, c.rolling.buffer.refill_every);
  }
  // Of one example, while gates are open: softmax in every block, and linear attention beside it.
  DitWork work;
  work.tokens = (shape[1] / d.patch_size[0]) * (shape[2] / d.patch_size[1]) * (shape[3] / d.patch_size[2]);
  work.text_tokens = d.text_len;
  const double forward = total_of(dit_stages(d, work)).flop;
  const BenchShape heads{1, work.tokens, d.num_attention_heads, d.attention_head_dim};
  const double linear = linear_attention_cost(heads, c.feature_map, BenchPass::kForward, work.element_bytes).flop;
  const double tokens = static_cast<double>(work.tokens), student = forward + L * linear;
  const MatchingCalls calls = matching_calls(c.matching);
  const double step = static_cast<double>(c.batch_size) * (c.match == "guided" ? 2 : 1) *
                      (student * static_cast<double>((c.activation_checkpointing ? 4 : 3) * calls.student_with_gradient + calls.student) +
                       forward * static_cast<double>(calls.score + calls.teacher));
  const double parameters = num_weights(d) + L * 2 * M * D;
  // Bytes, by counting a block's tensors: what it keeps for its backward pass, both branches of a gate among it (19 of width M and two of the
  // feed-forward's); what is alive beside it while it runs backward; what enters it. At Wan's size it says 48.2 GB where 46.3 were measured.
  const double rows = static_cast<double>(c.batch_size / c.accumulate) * tokens, element = c.precision == "bf16" ? 2 : 4;
  const double block = rows * (19 * M + 2 * F) * element, backward = rows * (6 * M + 2 * F) * element, entering = rows * 2 * M * element;
  const double casts = c.precision == "bf16" ? 2 * parameters : 0;
  const double kept = casts + backward + (c.activation_checkpointing ? L * entering + block : L * block);
  const double state = parameters * 4 * (5 + 1 + (calls.needs_critic ? 4 : 0));
  const double on_device = std::min(stored, static_cast<double>(c.device_mb) * 1048576);
  return fmt::format(
      "teacher        {} layers of width {}, {:.1f} million parameters\n"
      "trajectories   {}\n"
      "a step         {} examples of {:.0f} tokens, {:.3g} FLOP while gates are open; {} steps: {:.3g} FLOP\n"
      "memory         weights, gradients, moments, average, teacher {:.2f} GB; activations about {:.2f} GB; trajectories {:.2f} GB; in all about {:.1f} GB\n",
      d.num_layers, model_width(d), parameters / 1e6, pairs, c.batch_size, tokens, step, c.steps, step * static_cast<double>(c.steps), gigabytes(state),
      gigabytes(kept), gigabytes(on_device), gigabytes(state + kept + on_device));
}

void run_transfer(TransferRunConfig config, const RunOptions& options) {
  const TransferConfig& transfer_config = config.transfer;
  require_consistent(transfer_config);
  const at::Device device = set_up_device(transfer_config.run, transfer_config.precision == "fp32" ? Float32Math::kExact : Float32Math::kTf32);
  TransferInputs inputs = prepare_transfer(transfer_config, device);
  const TrajectoryManifest manifest = inputs.source->manifest();
  if (!config.clips.judge.empty()) {
    for (const std::string& prompt : manifest.prompts) clip_label(prompt);  // what the judge compares with
    config.clips.data.frames = manifest.latent_shape[1];
    require_measurable(config.clips, manifest.latent_shape[1], device);
  }
  ConfigRefOf<TransferRunConfig> config_ref(config);
  RunDirectory run(options, config_ref);
  const AttentionRun attention(transfer_config.run, run);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  fmt::print("{}\n{}\n", settings_table(config), transfer_cost_table(transfer_config));
  std::fflush(stdout);
  TransferRunSummary summary;
  summary.result = transfer(transfer_config, std::move(inputs), run, device);
  if (!config.clips.judge.empty()) {
    summary.measured = true;
    summary.student = measure(config, run.file("model"), "folder", manifest, device);
    fmt::print("student\n{}", describe_clips(summary.student));
    if (config.measure_teacher) {
      summary.teacher_measured = true;
      summary.teacher = measure(config, transfer_config.teacher, transfer_config.weights, manifest, device);
      fmt::print("teacher\n{}", describe_clips(summary.teacher));
    }
  }
  ConfigRefOf<TransferRunSummary> summary_ref(summary);
  run.write_summary(summary_ref);
  log_info("report: {}", write_transfer_report(run.path()).string());
}

}  // namespace linden
