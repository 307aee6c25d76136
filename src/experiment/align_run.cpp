#include "experiment/align_run.h"

#include <ATen/ATen.h>

#include <cmath>

#include "align/search.h"
#include "align/tree_figure.h"
#include "align/tree_file.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "experiment/align_summary.h"
#include "experiment/sample_sheet.h"
#include "io/event_sink.h"
#include "io/hdf5.h"
#include "models/image_classifier.h"
#include "ops/attention_run.h"

namespace linden {
namespace {

constexpr int64_t kGridImages = 64;

// The objects of one run, built from its config.
struct Parts {
  std::shared_ptr<Denoiser> denoiser;
  std::unique_ptr<Reward> reward;
  SearchPlan plan;
  std::unique_ptr<Executor> executor;
};

Parts build(const AlignConfig& config) {
  const at::Device device = set_up_device(config.run, config.executor.float32 == "exact" ? Float32Math::kExact : Float32Math::kTf32);
  Parts parts;
  parts.denoiser = load_denoiser(config.prior, config.sampler, device);
  parts.plan = make_plan(config, parts.denoiser->num_levels());
  parts.reward = make_reward(config.reward, config.prior, device);
  check_judge(config.judge, asked_classes(config.reward), device);
  parts.executor = make_executor(parts.denoiser, static_cast<uint64_t>(config.run.seed), config.executor);
  return parts;
}

at::Tensor states_of(const SearchState& state, const std::vector<int32_t>& nodes) {
  std::vector<int64_t> rows;
  for (int32_t node : nodes) rows.push_back(state.tree.latent_row[node]);
  return state.latents.gather(rows);
}

void write_samples(const RunDirectory& run, const AlignConfig& config, const SearchState& state, const std::vector<int32_t>& leaves,
                   const at::Tensor& samples) {
  at::Tensor reward = at::empty({static_cast<int64_t>(leaves.size())}, at::kDouble), node = at::empty_like(reward, at::kLong);
  for (size_t i = 0; i < leaves.size(); ++i) {
    reward[static_cast<int64_t>(i)] = state.tree.value[leaves[i]];
    node[static_cast<int64_t>(i)] = leaves[i];
  }
  Hdf5Writer file(run.file("samples.h5"));
  file.write("samples", samples.cpu());
  file.write("reward", reward);
  file.write("node", node);
  // What the reward asks every clip to show: linden evaluate measures the clips against it.
  if (const auto clip = asked_clip(config.reward, config.prior)) {
    file.write("digit", at::full_like(node, clip->digit));
    file.write("motion", at::full_like(node, clip->motion));
  }
  file.attribute("seed", config.run.seed);
  file.attribute("nfe", state.calls.nfe);
  file.close();
}

const char* name_of(StopReason reason) {
  switch (reason) {
    case StopReason::kBudget: return "budget";
    case StopReason::kFreeRevisits: return "free revisits";
    case StopReason::kInterrupted: return "interrupt";
  }
  return "";
}

// Keeps the tree on disk, the curve and the progress line up to date while a search grows.
class Recorder {
 public:
  Recorder(RunDirectory& run, const AlignConfig& config, const Parts& parts, AnytimeCurve& curve, const SearchState& state)
      : run_(run),
        config_(config),
        parts_(parts),
        curve_(curve),
        progress_("align " + parts.plan.method, config.nfe, "NFE", state.calls.nfe) {}

  void after_batch(const SearchState& state) {
    if (curve_.due(state.calls.nfe)) add_point(state);
    progress_.update(state.calls.nfe, note_);
    const double elapsed = seconds_since(saved_);
    if (elapsed >= config_.save_every_seconds) save(state);
  }
  void add_point(const SearchState& state) {
    const CurvePoint point = curve_point(state, parts_.plan, static_cast<uint64_t>(config_.run.seed), config_.num_samples);
    run_.log_metrics(point.nfe, {{"root_value", point.root_value},
                                 {"best_reward", point.best_reward},
                                 {"mean_reward", point.mean_reward},
                                 {"num_leaves", static_cast<double>(point.num_leaves)},
                                 {"num_distinct", point.num_distinct}});
    note_ = fmt::format("root {:.3f}, best {:.3f}, {} leaves", point.root_value, point.best_reward, point.num_leaves);
    curve_.add(point);
  }
  void save(const SearchState& state) {
    save_tree(run_.file("tree.h5"), state, parts_.plan, curve_, config_.save_latents);
    saved_ = Clock::now();
  }
  void finish(const SearchState& state) {
    progress_.update(state.calls.nfe, note_);
    progress_.finish();
  }

 private:
  RunDirectory& run_;
  const AlignConfig& config_;
  const Parts& parts_;
  AnytimeCurve& curve_;
  Progress progress_;
  std::string note_;
  Clock::time_point saved_ = Clock::now();
};

void resume_from(const RunDirectory& run, RunDirectory& metrics, SearchState& state, const SearchPlan& plan, AnytimeCurve& curve) {
  const auto file = run.file("tree.h5");
  if (!std::filesystem::exists(file)) {
    log_info("no tree was saved yet: the search starts anew");
    metrics.cut_metrics_after(0);
    return;
  }
  load_tree(file, state, plan, curve);
  metrics.cut_metrics_after(state.calls.nfe);
  log_info("resumed at {} NFE, {} leaves", state.calls.nfe, state.tree.num_leaves);
}

void check_root(const AlignSummary& summary) {
  if (std::isnan(summary.exact_root_value)) return;
  log_info("root value {:.4f}, exact {:.4f} (difference {:+.4f})", summary.root_value, summary.exact_root_value, summary.root_value - summary.exact_root_value);
}

}  // namespace

void run_align(AlignConfig config, const RunOptions& options) {
  Parts parts = build(config);
  ConfigRefOf<AlignConfig> ref(config);
  RunDirectory run(options, ref);
  const AttentionRun attention(config.run, run);
  run.add_sink(std::make_unique<EventSink>(run.path()));
  const auto seed = static_cast<uint64_t>(config.run.seed);
  log_info("{}: {} on {}, {}", parts.plan.method, parts.reward->description(), device_name(parts.denoiser->device()),
           fmt::format("{} steps, branching at {}", parts.denoiser->num_levels(), fmt::join(parts.plan.branch_levels, ",")));

  SearchState state(parts.plan, *parts.denoiser);
  AnytimeCurve curve(parts.plan.branch_levels);
  if (run.resumed()) resume_from(run, run, state, parts.plan, curve);
  parts.executor->warm_up(parts.plan.batch_size);
  const int64_t first_batch = parts.plan.batch_size * parts.denoiser->num_levels();
  if (config.nfe < first_batch)
    log_warning("nfe is {}, but the first batch of {} trajectories costs {}: the search will overrun; lower method.batch_size to compare methods at equal NFE",
                config.nfe, parts.plan.batch_size, first_batch);
  if (state.calls.nfe > config.nfe) log_warning("nfe is {}, but the saved tree has spent {}: nothing is added", config.nfe, state.calls.nfe);

  Recorder recorder(run, config, parts, curve, state);
  StopReason reason = StopReason::kBudget;
  try {
    reason = grow(state, parts.plan, *parts.executor, *parts.reward, seed, config.nfe, [&](const SearchState& s) { recorder.after_batch(s); });
  } catch (const RewardError&) {
    recorder.save(state);
    throw;
  }
  if (reason != StopReason::kInterrupted && (curve.points().empty() || curve.points().back().nfe != state.calls.nfe)) recorder.add_point(state);
  recorder.finish(state);
  if (reason == StopReason::kInterrupted) {
    recorder.save(state);
    throw Interrupted(
        fmt::format("interrupted at {} NFE; the tree is saved in {}: the same command with --resume goes on", state.calls.nfe, run.path().string()));
  }
  recorder.save(state);
  if (reason == StopReason::kFreeRevisits)
    log_warning("stopped at {} of {} NFE: {} iterations in a row ended in leaves that exist (method.max_free_revisits)", state.calls.nfe, config.nfe,
                parts.plan.max_free_revisits);

  const std::vector<int32_t> leaves = choose_leaves(state.tree, parts.plan, seed, config.num_samples);
  const at::Tensor samples = states_of(state, leaves);
  write_samples(run, config, state, leaves, samples);
  write_sample_sheet(run.path(), samples, kGridImages, {{"seed", std::to_string(config.run.seed)}, {"method", parts.plan.method}});
  curve.write_csv(run.file("curve.csv"));
  curve.write_svg(run.file("curve.svg"));
  write_file_atomically(run.file("tree.svg"), tree_figure_svg(state, fmt::format("{} after {} NFE", parts.plan.method, state.calls.nfe)));
  AlignSummary summary = summarize(config, parts.plan, state, *parts.reward, leaves, samples);
  summary.stopped_by = name_of(reason);
  ConfigRefOf<AlignSummary> summary_ref(summary);
  run.write_summary(summary_ref);
  check_root(summary);
  log_info("{} NFE, {} leaves, mean reward {:.4f}, best {:.4f}: {}", summary.nfe, summary.num_leaves, summary.mean_reward, summary.best_reward,
           run.path().string());
}

std::string describe_align(const AlignConfig& config) {
  Parts parts = build(config);
  const int64_t levels = parts.denoiser->num_levels(), batch = parts.plan.batch_size;
  int64_t elements = 1;
  for (int64_t extent : parts.denoiser->state().shape) elements *= extent;
  std::vector<int64_t> level(static_cast<size_t>(batch), levels), index(static_cast<size_t>(batch));
  for (int64_t i = 0; i < batch; ++i) index[i] = i;
  parts.executor->warm_up(batch);
  at::Tensor states = parts.executor->initial(index);
  constexpr int kTimedSteps = 5;
  double seconds = 0;
  for (int i = 0; i <= kTimedSteps; ++i) {  // the first is not counted
    const auto start = Clock::now();
    parts.executor->advance(states, level, index).sum().item<float>();  // item() waits for a GPU
    if (i > 0) seconds += seconds_since(start) / kTimedSteps;
  }
  const int64_t trajectories = config.nfe / levels;
  const double nodes = static_cast<double>(trajectories) * static_cast<double>(parts.plan.branch_levels.size() - 1);
  return fmt::format(
      "method          {}\n"
      "reward          {}\n"
      "device          {}\n"
      "steps           {}, branching at {}\n"
      "budget          {} NFE: {} whole trajectories, more where branches share their beginning\n"
      "latents         about {:.1f} MiB for {:.0f} nodes\n"
      "speed           {:.2f} ms a step at batch {} (measured): {:.0f} NFE/s\n"
      "time            about {:.0f} s\n",
      parts.plan.method, parts.reward->description(), device_name(parts.denoiser->device()), levels, fmt::join(parts.plan.branch_levels, ","), config.nfe,
      trajectories, nodes * static_cast<double>(elements) * 4 / 1048576.0, nodes, seconds * 1e3, batch, static_cast<double>(batch) / seconds,
      static_cast<double>(config.nfe) * seconds / static_cast<double>(batch));
}

}  // namespace linden
