#include "transfer/loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/device_memory.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "core/random.h"
#include "train/autocast.h"
#include "train/loss_log.h"
#include "train/state.h"
#include "train/step_graph.h"
#include "transfer/critic.h"
#include "transfer/example_feed.h"
#include "transfer/gates.h"
#include "transfer/held_out.h"
#include "transfer/layer_log.h"
#include "transfer/progress.h"
#include "transfer/stage_clock.h"
#include "transfer/strip_clips.h"
#include "transfer/warm_start.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

void freeze_parameters(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
}

VideoDit copy_of(VideoDit network) {
  VideoDit copy(network->config());
  copy_parameters(network, copy);
  copy->eval();
  return copy;
}

VideoDit on_device(VideoDit network, at::Device device) {
  network->to(device, at::kFloat);
  return network;
}

// All that a run of the loop works on.
class Transfer {
 public:
  Transfer(const TransferConfig& config, TransferInputs inputs, RunDirectory& run, at::Device device)
      : config_(config),
        run_(run),
        device_(device),
        seed_(static_cast<uint64_t>(config.run.seed)),
        teacher_folder_(std::move(inputs.teacher)),
        source_(std::move(inputs.source)),
        calls_(matching_calls(config.matching)),
        student_(make_student()),
        teacher_(on_device(teacher_folder_.transformer, device)),
        weights_(student_.ptr(), is_gate),
        optimizer_(config.optimizer, weights_.values),
        ema_(config.ema_decay, weights_.values),
        scores_(config.gates, config.alpha, student_),
        prompts_(encode(source_->prompts())),
        feed_(feed_config(seed_), source_, prompts_, device),
        times_{at::tensor(source_->manifest().sigma, at::kFloat).to(device)},
        held_out_(config, *source_, prompts_, device),
        clips_(config, source_->manifest(), prompts_, teacher_, run.path(), device),
        bins_(config.num_bins, device),
        losses_(config.log_every, device),
        errors_(config.log_every, device),
        detectors_(config.detectors, config.gates),
        rows_(run.path()),
        loss_(at::zeros({}, at::dtype(at::kFloat).device(device))),
        norm_(at::zeros_like(loss_)),
        error_(at::zeros_like(loss_)),
        clock_(config.time_stages, device),
        graph_(config.time_stages ? "off" : config.graphs, device) {
    if (clock_.on()) stage_log_ = std::make_unique<StageLog>(run.path());
    freeze_parameters(*teacher_);
    sources_ = source_->manifest().teacher + " " + source_->manifest().prompt_digest;
    student_->set_activation_checkpointing(config.activation_checkpointing);
    if (calls_.needs_critic) critic_ = std::make_unique<Critic>(config, copy_of(teacher_), feed_config(seed_), source_, prompts_, device);
    if (const auto* adm = std::get_if<AdmConfig>(&config.matching); adm && adm->score == "ema") make_average_network();
  }

  TransferResult run() {
    if (!resume()) begin();
    log_info("transfer: {} of {} layers become linear ({}), {} pairs, batch {}, {} steps, on {}", config_.gates.num_linear, num_layers(),
             config_.gates.selection, num_pairs(), config_.batch_size, config_.steps, device_.str());
    const int64_t first = done_.step;
    training_ = Clock::now();
    Progress progress("transfer", config_.steps, "step", done_.step);
    while (done_.step < config_.steps) {
      step(done_.step + 1);
      const bool last = done_.step == config_.steps;
      if (done_.step % config_.log_every == 0 || last) log(first);
      if (!details_.committed && done_.step >= commit_step()) commit(scores_.smallest(config_.gates.num_linear));
      if (config_.strip_every > 0 && done_.step % config_.strip_every == 0 && !last) strip();
      if (done_.step % config_.checkpoint_every == 0 || last) save();
      progress.update(done_.step, note_);
      if (interrupt_requested() && !last) {
        save();
        throw Interrupted(fmt::format("step {} is saved; go on with --resume --output {}", done_.step, run_.path().string()));
      }
    }
    progress.finish();
    return finish();
  }

 private:
  VideoDit make_student() {
    at::manual_seed(stream_key(seed_, Purpose::kWeights));
    VideoDit teacher = teacher_folder_.transformer;
    std::vector<bool> allowed = allowed_layers(config_.gates, teacher->config().num_layers);
    const std::vector<int64_t> fixed = fixed_selection(config_.gates, teacher->config().num_layers, seed_);
    if (!fixed.empty())  // only these need a linear mixer
      for (size_t i = 0; i < allowed.size(); ++i) allowed[i] = std::ranges::count(fixed, static_cast<int64_t>(i)) > 0 || config_.measure_layers;
    return on_device(convert_attention(teacher, config_.feature_map, allowed), device_);
  }

  CaptionBatch encode(const std::vector<std::string>& prompts) {
    const at::NoGradGuard no_grad;
    teacher_folder_.text_encoder->to(device_);
    freeze_parameters(*teacher_folder_.text_encoder);
    return {teacher_folder_.text_encoder->encode(prompts), teacher_folder_.text_encoder->encode(std::vector<std::string>{source_->manifest().negative_prompt})};
  }

  ExampleFeedConfig feed_config(uint64_t seed) const {
    return {seed, config_.batch_size, num_pairs(), config_.match == "guided" ? 0 : config_.caption_dropout, calls_.needs_noise};
  }

  // The averaged weights as a network, for the student's score; its gates are the student's.
  void make_average_network() {
    average_ = on_device(copy_of(student_), device_);
    average_weights_ = std::make_unique<FlatParameters>(average_.ptr(), is_gate);
    freeze_parameters(*average_);
    for (size_t i = 0; i < scores_.layers().size(); ++i) mixer(average_, scores_.layers()[i])->gate().set_data(scores_.r.narrow(0, static_cast<int64_t>(i), 1));
  }

  int64_t num_layers() const { return teacher_folder_.transformer->config().num_layers; }
  int64_t num_pairs() const { return source_->size() - config_.num_held_out * source_->manifest().num_kept(); }
  bool learned() const { return config_.gates.selection == "learned"; }
  int64_t commit_step() const { return std::min(config_.steps, static_cast<int64_t>(config_.gates.commit_at * static_cast<double>(config_.steps))); }
  static SelfAttention& mixer(VideoDit& network, int64_t layer) { return network->blocks()[static_cast<size_t>(layer)]->self_attention(); }
  const GuidanceConfig* guidance() const { return config_.match == "guided" ? &config_.guidance : nullptr; }
  double learning_rate(int64_t step) const { return config_.optimizer.learning_rate * learning_rate_factor(config_.learning_rate, step, config_.steps); }
  double gate_progress(int64_t step) const { return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, commit_step())); }

  double gap() { return held_out_.gap(student_, teacher_); }

  TrainState state() {
    NamedTensors more = {{"gates.r", scores_.r}, {"gates.free", scores_.free}, {"gates.mean", scores_.mean}, {"gates.variance", scores_.variance}};
    if (critic_) {
      more["critic.values"] = critic_->weights.values;
      more["critic.mean"] = critic_->optimizer.mean;
      more["critic.variance"] = critic_->optimizer.variance;
    }
    return {weights_, optimizer_, ema_, more, &details_ref_};
  }

  bool resume() {
    if (!run_.resumed()) return false;
    const auto resumed = resume_train_state(run_.path(), state());
    if (!resumed) {
      cut_rows_after(0);
      return false;
    }
    done_ = resumed->progress;
    check_input(
        details_.sources.empty() || details_.sources == sources_,
        "{}: this state was trained from another teacher or other prompts than those that {} and its prompts hold now; put them back, or start another run",
        resumed->folder.string(), config_.teacher);
    earlier_seconds_ = details_.training_seconds;
    losses_.restore(done_.pending_losses, done_.pending_norms);
    errors_.restore(details_.pending_errors, details_.pending_errors);
    bins_.restore(details_.bins);
    detectors_.restore(details_.detectors);
    log_info("going on from {}", resumed->folder.string());
    cut_rows_after(done_.step);
    run_layers();
    return true;
  }

  void cut_rows_after(int64_t step) {
    run_.cut_metrics_after(step);
    rows_.cut_after(step);
    if (stage_log_) stage_log_->cut_after(step);
  }

  // Warm start, what each layer costs alone, and, where the layers are fixed, their conversion.
  void begin() {
    const std::vector<int64_t>& layers = scores_.layers();
    std::vector<double> before, after, outputs;
    const auto gaps = [&] { return single_layer_gaps(student_, layers, [this] { return gap(); }); };
    const bool measured = config_.measure_layers || config_.gates.selection == "heuristic";
    if (measured) before = gaps();
    const bool learns = config_.warm_start.steps > 0 && has_projection(config_.feature_map);
    if (learns) {
      ExampleFeed feed(feed_config(seed_), source_, prompts_, device_);
      outputs = warm_start(config_.warm_start, config_.precision, student_, weights_, layers, [&](int64_t step) {
        feed.fill(step, 1);
        const MatchingDraw draw = feed.draw(0, 1);
        return WarmStartBatch{draw.x, draw.sigma, feed.captions(0, 1)};
      });
      ema_.average.copy_(weights_.values.detach());
    } else if (config_.warm_start.steps > 0) {
      log_info("warm start: this feature map has no weights to learn");
    }
    if (measured) after = learns ? gaps() : before;
    std::string table = "layer,gap_untrained,gap_warm,output_error\n";
    for (size_t i = 0; i < layers.size(); ++i)
      table +=
          fmt::format("{},{},{},{}\n", layers[i], measured ? before[i] : std::nan(""), measured ? after[i] : std::nan(""), learns ? outputs[i] : std::nan(""));
    write_file_atomically(run_.file("block_errors.csv"), table);
    if (learned()) {
      run_layers();
      details_.gap_at_start = gap();
      if (config_.gates.num_linear > 0 && commit_step() > 0) return;
    }
    commit(config_.gates.selection == "heuristic" ? smallest(layers, after)
           : learned()                            ? scores_.smallest(config_.gates.num_linear)
                                                  : fixed_selection(config_.gates, num_layers(), seed_));
    if (!learned()) details_.gap_at_start = details_.gap_after_commit;
  }

  std::vector<int64_t> smallest(const std::vector<int64_t>& layers, const std::vector<double>& cost) const {
    std::vector<size_t> order(layers.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return cost[a] < cost[b]; });
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < config_.gates.num_linear; ++i) chosen.push_back(layers[order[static_cast<size_t>(i)]]);
    std::ranges::sort(chosen);
    return chosen;
  }

  // What each gated layer runs: both branches until the commit.
  void run_layers() {
    for (const int64_t layer : scores_.layers()) {
      const bool linear = std::ranges::count(details_.linear_layers, layer) > 0;
      const AttentionKind kind = !details_.committed ? AttentionKind::kGated : linear ? AttentionKind::kLinear : AttentionKind::kSoftmax;
      mixer(student_, layer)->run_as(kind);
      if (average_) mixer(average_, layer)->run_as(kind);
    }
  }

  void commit(const std::vector<int64_t>& linear) {
    if (learned()) {
      const at::Tensor r = scores_.r.to(at::kCPU, at::kDouble);
      details_.commit_distance = at::minimum(r, 1 - r).mean().item<double>();
      details_.gap_before_commit = gap();
      if (config_.num_strip_clips > 0) clips_.write("before.apng", student_);
    }
    details_.committed = true;
    details_.linear_layers = linear;
    run_layers();
    graph_.reset();
    details_.gap_after_commit = gap();
    const std::string before = learned() ? fmt::format("{:.3g} before, ", details_.gap_before_commit) : "";
    log_info("commit: layers {} are linear; velocity gap {}{:.3g} after", fmt::join(linear, ", "), before, details_.gap_after_commit);
    rows_.message(done_.step, "commit", fmt::format("layers {} are linear from here on", fmt::join(linear, " ")));
  }

  void step(int64_t number) {
    clock_.run("step", [&] { take_step(number); });
    if (stage_log_) stage_log_->add(number, clock_.take(), device_);
  }

  void take_step(int64_t number) {
    clock_.run("examples", [&] { feed_.fill(number, number); });
    if (critic_) critic_->begin_step(number);
    optimizer_.begin_step(number, learning_rate(number));
    ema_.begin_update(number);
    if (!details_.committed) scores_.begin_step(number, gate_progress(number));
    graph_.run([this] { update(); });
    losses_.add(loss_, norm_);
    errors_.add(error_, error_);
    done_.step = number;
    done_.examples_seen += config_.batch_size;
  }

  // A network as the matching loss asks for it, its time told apart.
  VelocityAt timed_velocity(const char* stage, VideoDit network, const CaptionBatch& captions) {
    VelocityAt velocity = velocity_of(std::move(network), captions, guidance());
    if (!clock_.on()) return velocity;
    return [this, stage, velocity](const at::Tensor& x, const at::Tensor& sigma) {
      at::Tensor result;
      clock_.run(stage + std::string(at::GradMode::is_enabled() ? " with gradient" : ""), [&] { result = velocity(x, sigma); });
      return result;
    };
  }

  MatchingNetworks networks(const CaptionBatch& captions) {
    MatchingNetworks all{timed_velocity("student", student_, captions), timed_velocity("teacher", teacher_, captions), {}};
    if (critic_) all.score = timed_velocity("critic", critic_->network, captions);
    if (average_) all.score = timed_velocity("average", average_, captions);
    return all;
  }

  // The part of a step that is the same every time: the critic's steps, then the student's.
  void update() {
    if (critic_)
      for (ExampleFeed& feed : critic_->feeds) clock_.run("critic's step", [&] { update_critic(feed); });
    if (average_) average_weights_->values.copy_(ema_.average);
    weights_.gradients.zero_();
    scores_.clear_gradient();
    loss_.zero_();
    error_.zero_();
    const double share = 1.0 / static_cast<double>(config_.accumulate);
    for (int64_t part = 0; part < config_.accumulate; ++part) {
      const CaptionBatch captions = feed_.captions(part, config_.accumulate);
      MatchingParts parts;
      {
        const Bf16Scope bf16(config_.precision == "bf16", device_);
        parts = matching_loss(config_.matching, times_, networks(captions), feed_.draw(part, config_.accumulate));
      }
      clock_.run("backward", [&] { (share * parts.loss).backward(); });
      const at::NoGradGuard no_grad;
      loss_.add_(parts.loss.detach(), share);
      error_.add_(parts.velocity_error.mean(), share);
      bins_.add(parts.velocity_error, parts.sigma);
    }
    clock_.run("optimizer", [this] { apply_gradients(); });
  }

  void apply_gradients() {
    norm_.copy_(clip_gradient_norm(weights_.gradients, config_.gradient_clip));
    const at::NoGradGuard no_grad;
    optimizer_.apply(weights_.values, weights_.gradients);
    if (!details_.committed) scores_.apply();
    ema_.apply(weights_.values);
  }

  void update_critic(ExampleFeed& feed) {
    critic_->weights.gradients.zero_();
    const auto* dmd = std::get_if<DmdMatchingConfig>(&config_.matching);
    at::Tensor loss;
    {
      const Bf16Scope bf16(config_.precision == "bf16", device_);
      loss = critic_loss(dmd ? *dmd : DmdMatchingConfig{}, networks(feed.captions(0, 1)), feed.draw(0, 1));
    }
    loss.backward();
    critic_->apply_gradients(config_.gradient_clip);
  }

  void log(int64_t first) {
    const std::vector<double> errors = errors_.losses();
    Observation row{done_.step, mean(losses_.losses()), mean(errors), mean(losses_.norms()), {}, {}, {}, 0};
    const at::Tensor table = at::stack({scores_.r, scores_.gradient, scores_.grad_constraint, scores_.grad_regulariser}).to(at::kCPU, at::kDouble);  // [4, G]
    const auto at_layer = [&](int64_t what, size_t i) { return table[what][static_cast<int64_t>(i)].item<double>(); };
    int64_t num_linear = static_cast<int64_t>(details_.linear_layers.size());
    if (!details_.committed) {
      std::vector<LayerRow> layers;
      num_linear = 0;
      for (size_t i = 0; i < scores_.layers().size(); ++i) {
        row.r.push_back(at_layer(0, i));
        num_linear += row.r.back() <= 0.5 ? 1 : 0;
        layers.push_back({done_.step, scores_.layers()[i], at_layer(0, i), at_layer(1, i), at_layer(2, i), at_layer(3, i)});
      }
      rows_.layers(layers);
      row.steps_until_commit = std::max<int64_t>(0, commit_step() - done_.step);
    }
    rows_.bins(done_.step, bins_.fetch());
    const double tokens = static_cast<double>(done_.step - first) * static_cast<double>(config_.batch_size * tokens_per_example()) / seconds_since(training_);
    run_.log_metrics(done_.step, {{"loss", row.loss},
                                  {"velocity_error", row.velocity_error},
                                  {"gradient_norm", row.gradient_norm},
                                  {"learning_rate", learning_rate(done_.step)},
                                  {"constraint", scores_.constraint.item<double>()},
                                  {"regulariser", scores_.regulariser.item<double>()},
                                  {"alpha", details_.committed ? std::nan("") : alpha_at(config_.alpha, gate_progress(done_.step))},
                                  {"num_linear", static_cast<double>(num_linear)},
                                  {"tokens_per_second", tokens}});
    done_.last_loss = row.loss;
    note_ = fmt::format("loss {:.3g}  error {:.3g}  linear {}/{}", row.loss, row.velocity_error, num_linear, config_.gates.num_linear);
    if (student_deviation_) row.student_deviation = std::exchange(student_deviation_, std::nullopt), row.teacher_deviation = clips_.teacher_deviation();
    losses_.clear();
    errors_.clear();
    bins_.clear();
    say(detectors_.observe(row));
  }

  void say(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
      rows_.message(done_.step, finding);
      if (finding.level == Level::kStop) {
        const auto folder = newest_train_state(run_.path());
        throw std::runtime_error(fmt::format("{}; {}", finding.text, folder ? "the last saved state is " + folder->string() : "no state was saved before it"));
      }
      log_warning("{}", finding.text);
    }
  }

  int64_t tokens_per_example() const {
    const std::vector<int64_t>& shape = source_->manifest().latent_shape;
    const std::vector<int64_t>& patch = teacher_folder_.transformer->config().patch_size;
    return (shape[1] / patch[0]) * (shape[2] / patch[1]) * (shape[3] / patch[2]);
  }

  // last: with the clips of the model that config.compare names.
  void strip(bool last = false) {
    if (config_.num_strip_clips == 0) return;
    const UseAverage average(weights_.values, ema_);
    const StudentStrip strip = clips_.strip(done_.step, student_, /*compared=*/last);
    student_deviation_ = strip.deviation;
    run_.log_metrics(done_.step, {{"saturation", strip.saturation}, {"deviation", strip.deviation}, {"motion", strip.motion}});
    run_.log_image(done_.step, "strip", strip.file);
  }

  void save() {
    done_.pending_losses = losses_.losses();
    done_.pending_norms = losses_.norms();
    details_.pending_errors = errors_.losses();
    details_.training_seconds = earlier_seconds_ + seconds_since(training_);
    details_.sources = sources_;
    details_.bins = bins_.state();
    details_.detectors = detectors_.state();
    save_train_state(run_.path(), state(), done_, config_.keep_checkpoints);
  }

  TransferResult finish() {
    TransferResult result;
    result.training_seconds = earlier_seconds_ + seconds_since(training_);
    strip(/*last=*/true);
    const at::NoGradGuard no_grad;
    const UseAverage average(weights_.values, ema_);
    const at::ScalarType dtype = config_.export_dtype == "fp16" ? at::kHalf : at::kFloat;
    weights_.values.copy_(weights_.values.to(dtype));
    if (config_.num_strip_clips > 0) clips_.write("after.apng", student_);
    result.steps = done_.step;
    result.examples_seen = done_.examples_seen;
    result.num_layers = num_layers();
    result.num_linear = static_cast<int64_t>(details_.linear_layers.size());
    result.linear_layers = details_.linear_layers;
    result.gap_at_start = details_.gap_at_start;
    result.gap_before_commit = details_.gap_before_commit;
    result.gap_after_commit = details_.gap_after_commit;
    result.commit_distance = details_.commit_distance;
    if (!learned()) result.gap_before_commit = result.commit_distance = std::nan("");  // there were no open gates
    result.gap = gap();
    result.final_loss = done_.last_loss;
    if (device_.is_cuda()) result.peak_gb = 1e-9 * device_memory(device_).peak;
    result.tokens_per_second = static_cast<double>(done_.step * config_.batch_size * tokens_per_example()) / std::max(1e-9, result.training_seconds);
    const int64_t of_student = 3 * calls_.student_with_gradient + calls_.student + calls_.score + calls_.teacher;
    result.network_calls = (of_student + (critic_ ? config_.critic.steps * 4 : 0)) * (guidance() ? 2 : 1);
    VideoModel model = teacher_folder_;
    model.transformer = without_gates(student_, details_.linear_layers);
    save_video_model(run_.file("model"), model, dtype);
    log_info("velocity gap {:.3g}; model written to {}", result.gap, run_.file("model").string());
    return result;
  }

  const TransferConfig& config_;
  RunDirectory& run_;
  at::Device device_;
  uint64_t seed_;
  VideoModel teacher_folder_;
  std::shared_ptr<TrajectorySource> source_;
  MatchingCalls calls_;
  VideoDit student_{nullptr}, teacher_{nullptr}, average_{nullptr};
  FlatParameters weights_;
  std::unique_ptr<FlatParameters> average_weights_;
  AdamW optimizer_;
  Ema ema_;
  GateScores scores_;
  std::unique_ptr<Critic> critic_;
  CaptionBatch prompts_;
  ExampleFeed feed_;
  FlowTimes times_;
  HeldOut held_out_;
  StripClips clips_;
  BinnedMean bins_;
  LossLog losses_, errors_;
  Detectors detectors_;
  LayerLog rows_;
  TransferProgress details_;
  ConfigRefOf<TransferProgress> details_ref_{details_};
  TrainProgress done_;
  std::optional<double> student_deviation_;  // of the strip since the last row of the log
  at::Tensor loss_, norm_, error_;           // of the step, scalars
  Clock::time_point training_;
  double earlier_seconds_ = 0;  // of the parts before this one
  std::string sources_;         // TransferProgress::sources of what lies there now
  std::string note_;
  StageClock clock_;
  std::unique_ptr<StageLog> stage_log_;  // with time_stages
  StepGraph graph_;                      // the last: its end waits for the device
};

}  // namespace

TransferResult transfer(const TransferConfig& config, TransferInputs inputs, RunDirectory& run, at::Device device) {
  return Transfer(config, std::move(inputs), run, device).run();
}

}  // namespace linden
