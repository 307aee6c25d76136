#include "experiment/sample_run.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "evaluate/sample_statistics.h"
#include "experiment/judge.h"
#include "experiment/sample_file.h"
#include "experiment/sample_sheet.h"
#include "experiment/video_sample.h"
#include "io/event_sink.h"
#include "models/image_classifier.h"
#include "ops/attention_run.h"

namespace linden {
namespace {

constexpr double kConfident = 0.9;

void fill_judge(SampleSummary& out, const SampleConfig& config, const at::Tensor& samples, at::Device device) {
  if (config.judge.folder.empty()) return;
  const JudgeReading reading = read_with_judge(config.judge.folder, samples, device);
  out.judge = config.judge.folder;
  out.confident_share = confident_share(reading.logits, kConfident);
  if (samples.size(0) > 1) out.diversity = diversity(reading.features);
  out.frechet = judged_distances(config.judge, reading.features, {}, device);
  for (int64_t k = 0; k < reading.logits.size(1); ++k) out.class_shares.push_back(class_share(reading.logits, std::vector<int64_t>{k}));
}

}  // namespace

void visit_fields(FieldVisitor& v, SampleConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("prior", "the diffusion model that is sampled"), c.prior);
  visit(v, Field("sampler", "how one step goes"), c.sampler);
  visit(v, Field("executor", "how steps run on the device"), c.executor);
  visit(v, Field("judge", "an independent reader of the samples"), c.judge);
  visit(v, Field("captions", "video prior: what the clips show, in turn; without captions and file: prior.caption, else every caption of moving digits"),
        c.captions);
  visit(v, Field("caption_file", "the same, one a line"), c.caption_file);
  visit(v, Field("clips", "video prior: who measures the clips against their captions and real ones"), c.clips);
  visit(v, Field("frame_ms", "video prior: how long a frame is shown in animations").between(1, 65535).changeable(), c.frame_ms);
  visit(v, Field("num_samples", "samples to draw").at_least(1).changeable(), c.num_samples);
  visit(v, Field("batch_size", "trajectories in flight at once").at_least(1).at_most(65535), c.batch_size);
  visit(v, Field("grid_images", "images on the contact sheet").at_least(1).changeable(), c.grid_images);
  visit(v, Field("save_every_seconds", "how often finished samples are saved").above(0).changeable(), c.save_every_seconds);
}

void visit_fields(FieldVisitor& v, SampleSummary& c) {
  visit(v, Field("num_samples", "samples drawn"), c.num_samples);
  visit(v, Field("nfe", "function evaluations of the prior"), c.nfe);
  visit(v, Field("network_calls", "network calls"), c.network_calls);
  visit(v, Field("sampling_seconds", "wall time of sampling"), c.sampling_seconds);
  visit(v, Field("nfe_per_second", "of sampling"), c.nfe_per_second);
  visit(v, Field("judge", "folder of the judge"), c.judge);
  visit(v, Field("confident_share", "share in which the judge gives some class at least 0.9"), c.confident_share);
  visit(v, Field("diversity", "mean pairwise cosine distance of the judge's features"), c.diversity);
  visit(v, Field("frechet_distance", "to judge.reference, on the judge's features"), c.frechet.samples);
  visit(v, Field("real_frechet_distance", "the same for as many samples of judge.held_out"), c.frechet.real);
  if (c.has_clips) visit(v, Field("clips", "clips against their captions and real ones"), c.clips);
  visit(v, Field("class_shares", "what the judge reads, by class"), c.class_shares);
}

void run_sample(SampleConfig config, const RunOptions& options) {
  if (std::holds_alternative<VideoPriorConfig>(config.prior)) return run_video_sample(std::move(config), options);
  const at::Device device = set_up_device(config.run, config.executor.float32 == "exact" ? Float32Math::kExact : Float32Math::kTf32);
  const auto executor = make_executor(load_denoiser(config.prior, config.sampler, device), static_cast<uint64_t>(config.run.seed), config.executor);
  check_judge(config.judge, {}, device);
  ConfigRefOf<SampleConfig> ref(config);
  RunDirectory run(options, ref);
  const AttentionRun attention(config.run, run);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  std::vector<at::Tensor> parts = {finished_samples(run, executor->denoiser().state().shape, config.num_samples)};
  int64_t done = parts.front().size(0);
  executor->warm_up(config.batch_size);
  Progress progress("sample", config.num_samples, "sample", done);
  const auto start = Clock::now();
  auto saved = start;
  while (done < config.num_samples) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min(config.batch_size, config.num_samples - done)));
    for (size_t i = 0; i < indices.size(); ++i) indices[i] = done + static_cast<int64_t>(i);
    parts.push_back(sample_chain(*executor, indices).cpu().contiguous());
    done += static_cast<int64_t>(indices.size());
    progress.update(done);
    if (interrupt_requested() || seconds_since(saved) >= config.save_every_seconds) {
      save_samples(run, at::cat(parts), config.run.seed);
      saved = Clock::now();
    }
    if (interrupt_requested())
      throw Interrupted(fmt::format("interrupted after {} samples, which are saved in {}: --resume goes on", done, run.path().string()));
  }
  progress.finish();
  SampleSummary summary;
  summary.sampling_seconds = seconds_since(start);
  const at::Tensor samples = at::cat(parts).narrow(0, 0, config.num_samples);
  save_samples(run, samples, config.run.seed);
  write_sample_sheet(run.path(), samples, config.grid_images, {{"seed", std::to_string(config.run.seed)}});
  summary.num_samples = config.num_samples;
  summary.nfe = executor->count().nfe;
  summary.network_calls = executor->count().network_calls;
  summary.nfe_per_second = static_cast<double>(summary.nfe) / std::max(summary.sampling_seconds, 1e-9);
  fill_judge(summary, config, samples, device);
  ConfigRefOf<SampleSummary> summary_ref(summary);
  run.write_summary(summary_ref);
  log_info("{} samples, {:.0f} NFE/s: {}", summary.num_samples, summary.nfe_per_second, run.path().string());
}

}  // namespace linden
