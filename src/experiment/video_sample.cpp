#include "experiment/video_sample.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <numeric>
#include <sstream>

#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "evaluate/clip_metrics.h"
#include "experiment/sample_file.h"
#include "io/apng.h"
#include "io/event_sink.h"
#include "io/mp4.h"
#include "io/png.h"
#include "models/video_model.h"
#include "ops/attention_run.h"

namespace linden {
namespace {

constexpr int64_t kMostPictures = 64;

std::vector<std::string> captions_of(const SampleConfig& config, const VideoPriorConfig& prior) {
  check_input(config.captions.empty() || config.caption_file.empty(), "captions and caption_file are both given: keep one");
  if (!config.captions.empty()) return config.captions;
  if (config.caption_file.empty() && !prior.caption.empty()) return {prior.caption};
  std::vector<std::string> captions;
  if (!config.caption_file.empty()) {
    std::istringstream lines(read_text_file(config.caption_file));
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) captions.push_back(line);
    check_input(!captions.empty(), "{}: there is no caption in it; wanted one a line", config.caption_file);
    return captions;
  }
  for (int64_t i = 0; i < 10 * static_cast<int64_t>(motions().size()); ++i) captions.push_back(clip_caption(i % 10, i / 10));
  return captions;
}

// Digit and motion of every sample, where all captions name them.
std::map<std::string, at::Tensor> labels_of(const std::vector<std::string>& captions, int64_t count) {
  std::vector<int64_t> digit, motion;
  try {
    for (const std::string& caption : captions) {
      const ClipLabel label = clip_label(caption);
      digit.push_back(label.digit);
      motion.push_back(label.motion);
    }
  } catch (const InputError&) { return {}; }
  const at::Tensor row = at::arange(count).remainder(static_cast<int64_t>(captions.size()));
  return {{"digit", at::tensor(digit, at::kLong).index_select(0, row)}, {"motion", at::tensor(motion, at::kLong).index_select(0, row)}};
}

std::map<std::string, at::Tensor> first_rows(const std::map<std::string, at::Tensor>& columns, int64_t count) {
  std::map<std::string, at::Tensor> out;
  for (const auto& [name, column] : columns) out[name] = column.narrow(0, 0, count);
  return out;
}

// A picture to look at: a run does not fail for it.
void write_moving_picture(const RunDirectory& run, const at::Tensor& frames, int64_t frame_ms) {
  if (!no_mp4_reason().empty()) return log_info("samples.mp4 is not written: {}", no_mp4_reason());
  try {
    write_mp4(run.file("samples.mp4"), frames, frame_ms);
  } catch (const std::runtime_error& error) { log_warning("samples.mp4 is not written: {}", error.what()); }
}

void write_pictures(const RunDirectory& run, const SampleConfig& config, const at::Tensor& video, const std::vector<std::string>& captions) {
  const int64_t count = std::min({config.grid_images, video.size(0), kMostPictures}), channels = video.size(1);
  std::string list;
  for (int64_t i = 0; i < video.size(0); ++i) list += captions[static_cast<size_t>(i) % captions.size()] + "\n";
  write_file_atomically(run.file("captions.txt"), list);
  if (channels != 1 && channels != 3) return;  // latents
  const at::Tensor shown = video.narrow(0, 0, count);
  const std::map<std::string, std::string> text = {{"seed", std::to_string(config.run.seed)}};
  write_png(run.file("samples.png"), clip_sheet(shown), text);
  const at::Tensor grid = clip_grid(shown, 0, 2);
  write_apng(run.file("samples.apng"), grid, config.frame_ms, text);
  write_moving_picture(run, grid, config.frame_ms);
  std::vector<std::pair<std::string, std::string>> pictures;
  for (int64_t i = 0; i < count; ++i)
    pictures.emplace_back(captions[static_cast<size_t>(i) % captions.size()], encode_apng(clip_grid(shown.narrow(0, i, 1), 1, 4, 0), config.frame_ms));
  write_file_atomically(run.file("samples.html"), picture_page(fmt::format("{} of {} clips, seed {}", count, video.size(0), config.run.seed), pictures));
}

// The clips of one call, and the objects that make them.
class VideoSampling {
 public:
  VideoSampling(const SampleConfig& config, const VideoPriorConfig& prior, at::Device device)
      : sampler_(flow_sampler_of(config.sampler)),
        guidance_(prior.guidance),
        seed_(static_cast<uint64_t>(config.run.seed)),
        device_(device),
        captions(captions_of(config, prior)) {
    check_input(!prior.folder.empty(), "prior of type video: folder is empty, wanted a model folder");
    const at::ScalarType dtype = prior.dtype == "bfloat16" ? at::kBFloat16 : prior.dtype == "float16" ? at::kHalf : at::kFloat;
    model_ = load_video_model(prior.folder, prior.weights, dtype, device);
    text_ = model_.text_encoder->encode(captions);
    null_text_ = model_.text_encoder->encode(std::vector<std::string>{""});
    shape = model_.sample_shape;
    if (prior.frames > 0) shape[1] = prior.frames;
  }

  at::Tensor draw(const std::vector<int64_t>& indices, const std::function<void(int64_t)>& after_step) const {
    const at::Tensor rows = at::tensor(indices, at::kLong).remainder(static_cast<int64_t>(captions.size())).to(device_);
    return draw_video(model_.transformer, {sampler_, guidance_, text_.index_select(0, rows), null_text_, shape}, seed_, indices, after_step).cpu();
  }
  int64_t num_steps() const { return sampler_.num_steps(); }
  int64_t calls_per_step() const { return guidance_needs_unconditional(guidance_) ? 2 : 1; }

 private:
  FlowSampler sampler_;
  GuidanceConfig guidance_;
  uint64_t seed_;
  at::Device device_;
  VideoModel model_;
  at::Tensor text_, null_text_;  // [captions, L, D], [1, L, D]

 public:
  const std::vector<std::string> captions;
  std::vector<int64_t> shape;
};

}  // namespace

void run_video_sample(SampleConfig config, const RunOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Device device = set_up_device(config.run, config.executor.float32 == "exact" ? Float32Math::kExact : Float32Math::kTf32);
  check_input(config.judge.folder.empty(), "judge.folder is \"{}\", but that judge reads images; clips are measured by clips.judge", config.judge.folder);
  const VideoSampling sampling(config, std::get<VideoPriorConfig>(config.prior), device);
  const auto labels = labels_of(sampling.captions, config.num_samples);
  const bool measured = !config.clips.judge.empty();
  check_input(!measured || (!labels.empty() && config.num_samples >= 2), "clips.judge is given, but {}; wanted two clips or more, with captions as \"{}\"",
              labels.empty() ? "not every caption names a digit and a motion" : "there is one clip", clip_caption(3, 5));
  if (measured) require_measurable(config.clips, sampling.shape[1], device);
  ConfigRefOf<SampleConfig> ref(config);
  RunDirectory run(options, ref);
  const AttentionRun attention(config.run, run);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  std::vector<at::Tensor> parts = {finished_samples(run, sampling.shape, config.num_samples)};
  int64_t done = parts.front().size(0);
  const int64_t steps = sampling.num_steps(), before = done;
  const auto save_finished = [&] { save_samples(run, at::cat(parts), config.run.seed, first_rows(labels, done)); };
  Progress progress("sample", config.num_samples * steps, "NFE", done * steps);
  const auto start = Clock::now();
  auto saved = start;
  while (done < config.num_samples) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min(config.batch_size, config.num_samples - done)));
    std::iota(indices.begin(), indices.end(), done);
    const auto rows = static_cast<int64_t>(indices.size());
    parts.push_back(sampling.draw(indices, [&](int64_t step) {
      progress.update(done * steps + rows * step);
      if (!interrupt_requested()) return;
      save_finished();
      throw Interrupted(fmt::format("interrupted after {} clips, which are saved in {}: --resume goes on", done, run.path().string()));
    }));
    done += rows;
    if (seconds_since(saved) < config.save_every_seconds) continue;
    save_finished();
    saved = Clock::now();
  }
  progress.finish();
  SampleSummary summary;
  summary.sampling_seconds = seconds_since(start);
  const at::Tensor video = at::cat(parts);
  save_finished();
  write_pictures(run, config, video, sampling.captions);
  summary.num_samples = done;
  summary.nfe = (done - before) * steps;
  summary.network_calls = summary.nfe * sampling.calls_per_step();
  summary.nfe_per_second = static_cast<double>(summary.nfe) / std::max(summary.sampling_seconds, 1e-9);
  if (measured) {
    summary.has_clips = true;
    summary.clips = measure_clips(video, labels.at("digit"), labels.at("motion"), config.clips, device);
    fmt::print("{}", describe_clips(summary.clips));
  }
  ConfigRefOf<SampleSummary> summary_ref(summary);
  run.write_summary(summary_ref);
  log_info("{} clips, {:.0f} NFE/s: {}", done, summary.nfe_per_second, run.path().string());
}

}  // namespace linden
