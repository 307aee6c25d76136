#include "transfer/trajectory_run.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "core/progress.h"
#include "io/digest.h"
#include "transfer/trajectory_generator.h"
#include "transfer/trajectory_shard.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

double gb(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }
double mb(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }

std::string digest_of_file(const fs::path& file) {
  const std::string text = read_text_file(file);
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

void resolve_size(int64_t& size, int64_t of_model, int64_t patch, const char* key) {
  if (size == 0) size = of_model;
  if (size % patch != 0) throw ConfigError(fmt::format("{} is {}, but the teacher cuts it into patches of {}; wanted a multiple", key, size, patch));
}

// Most bytes of all shards' files from `first` on.
int64_t files_bound(const TrajectoryManifest& m, int64_t first) {
  const int64_t shards = m.num_shards() - first;
  return shards <= 0 ? 0 : (shards - 1) * shard_file_bound(m, first) + shard_file_bound(m, m.num_shards() - 1);
}

// The shards of an earlier part of the run that need not be made again.
void take_finished(TrajectoryManifest& manifest, const RunDirectory& run) {
  if (!run.resumed()) return;
  if (!fs::exists(run.file(kManifestFile))) {
    if (fs::exists(run.file(shard_file(0))))
      log_warning("{}: there is no {} to vouch for the shards that lie here; all are made again", run.path().string(), kManifestFile);
    return;
  }
  const TrajectoryManifest stored = read_manifest(run.path());
  require_teacher(stored, run.path(), manifest.teacher, manifest.teacher_folder);
  check_input(stored.prompts == manifest.prompts,
              "{}: --resume, but {} has other prompts now ({} of them) than when the run began ({}); restore the file, or start another run",
              run.path().string(), manifest.prompt_file, manifest.prompts.size(), stored.prompts.size());
  TrajectoryManifest comparable = stored;
  comparable.shards = {};
  comparable.teacher_folder = manifest.teacher_folder;
  comparable.prompt_digest = manifest.prompt_digest;  // of blank lines
  ConfigRefOf<TrajectoryManifest> left(comparable), right(manifest);
  for (const ConfigDifference& difference : config_difference(left, right))
    throw InputError(fmt::format("{}: --resume, but {} is {} in {} and {} now; start another run", run.path().string(), difference.key, difference.left,
                                 kManifestFile, difference.right));
  manifest.shards = stored.shards;
}

// Files that a killed writer left behind.
void remove_unfinished(const fs::path& folder) {
  std::vector<fs::path> left_behind;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("trajectories_") && name.find(".h5.tmp.") != std::string::npos) left_behind.push_back(entry.path());
  }
  for (const fs::path& file : left_behind) fs::remove(file);
}

void require_room_for_shard(const TrajectoryManifest& manifest, int64_t shard, const fs::path& folder, const FreeBytes& free_bytes) {
  const int64_t needed = shard_file_bound(manifest, shard), free = free_bytes(folder);
  check_input(free >= needed,
              "{}: no room for shard {} of {}: it needs {} bytes ({:.2f} GB), and {} ({:.2f} GB) are free. The {} finished shards are kept: make room and go "
              "on with --resume",
              (folder / shard_file(shard)).string(), shard, manifest.num_shards(), needed, gb(needed), free, gb(free), shard);
}

void require_finite(const Trajectories& made, const TrajectoryManifest& manifest, int64_t first) {
  for (const at::Tensor& pairs : {made.x, made.velocity}) {
    if (!pairs.defined()) continue;
    const at::Tensor bad = pairs.flatten(2).isfinite().all(2).logical_not().nonzero();  // [bad pairs, 2]
    if (bad.size(0) == 0) continue;
    const int64_t trajectory = first + bad[0][0].item<int64_t>(), step = manifest.keep[static_cast<size_t>(bad[0][1].item<int64_t>())];
    throw InputError(
        fmt::format("trajectory {} holds NaN or infinity at step {} (and {} more pairs do): nothing of this shard is written. Look at guidance.scale ({}), the "
                    "sampler and the teacher's weights",
                    trajectory, step, bad.size(0) - 1, manifest.guidance.scale));
  }
}

// Makes one shard. `done`: function evaluations before it.
class ShardMaker {
 public:
  ShardMaker(const TrajectoryManifest& manifest, const TrajectoryGenerator& generator, Progress& progress, const fs::path& folder)
      : generator_(generator),
        progress_(progress),
        folder_(folder),
        total_nfe_(manifest.num_trajectories * manifest.num_steps) {}

  void make(TrajectoryManifest& manifest, int64_t shard, TrajectoriesSummary& summary) {
    const int64_t first = shard * manifest.trajectories_per_shard, count = manifest.shard_count(shard), done = first * manifest.num_steps;
    const auto start = Clock::now();
    const int64_t first_batch = std::min(manifest.batch_size, count) * manifest.num_steps;
    const Trajectories made = generator_.generate(first, count, [&](int64_t nfe) {
      progress_.update(done + nfe);
      if (!estimated_ && nfe >= first_batch) estimate(total_nfe_ - done, nfe, seconds_since(start));
      if (interrupt_requested())
        throw Interrupted(fmt::format("interrupted in shard {} of {}; the {} finished shards in {} are kept: --resume goes on", shard, manifest.num_shards(),
                                      shard, folder_.string()));
    });
    require_finite(made, manifest, first);
    summary.generating_seconds += seconds_since(start);
    summary.nfe += count * manifest.num_steps;
    write(manifest, shard, made, summary);
  }

 private:
  void estimate(int64_t nfe_left, int64_t nfe, double seconds) {
    estimated_ = true;
    log_info("first batch: {:.2f} s; all that is left takes about {}", seconds,
             format_duration(seconds * static_cast<double>(nfe_left) / static_cast<double>(nfe)));
  }
  void write(TrajectoryManifest& manifest, int64_t shard, const Trajectories& made, TrajectoriesSummary& summary) {
    const auto start = Clock::now();
    try {
      write_shard(folder_, manifest, shard, made);
      write_manifest(folder_, manifest);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("{}. Shard {} of {} is not finished; the {} before it are kept: make room and go on with --resume", error.what(),
                                           shard, manifest.num_shards(), shard));
    }
    summary.writing_seconds += seconds_since(start);
    written_ += manifest.shards.bytes.back();
    summary.written_mb_per_second = mb(written_) / std::max(summary.writing_seconds, 1e-9);
  }

  const TrajectoryGenerator& generator_;
  Progress& progress_;
  fs::path folder_;
  int64_t total_nfe_, written_ = 0;
  bool estimated_ = false;
};

}  // namespace

void resolve_trajectories(TrajectoriesConfig& config, const VideoModelLayout& teacher) {
  const auto& shape = teacher.sample_shape;
  const auto& patch = teacher.transformer.patch_size;
  resolve_size(config.frames, shape[1], patch[0], "frames");
  resolve_size(config.height, shape[2], patch[1], "height");
  resolve_size(config.width, shape[3], patch[2], "width");
  FlowScheduleConfig& schedule = schedule_of(config.sampler);
  if (schedule.num_train_steps != teacher.scheduler.num_train_timesteps)
    throw ConfigError(fmt::format("sampler.num_train_steps is {}, but the teacher's scheduler/scheduler_config.json has {}; set it to that",
                                  schedule.num_train_steps, teacher.scheduler.num_train_timesteps));
  if (config.shift_from == "model") {
    if (schedule.shift != FlowScheduleConfig{}.shift && schedule.shift != teacher.scheduler.shift)
      throw ConfigError(fmt::format(
          "sampler.shift is {}, but shift_from is model and the teacher's scheduler/scheduler_config.json has {}; set shift_from to sampler to use {}",
          schedule.shift, teacher.scheduler.shift, schedule.shift));
    schedule.shift = teacher.scheduler.shift;
  }
  kept_steps(config.keep, schedule.num_steps);
}

TrajectoryManifest describe_trajectories(const TrajectoriesConfig& config, const VideoModelLayout& teacher, const std::string& teacher_digest) {
  TrajectoryManifest m;
  m.teacher = teacher_digest;
  m.teacher_folder = config.teacher;
  m.teacher_weights = config.weights;
  m.attention = attention_of_blocks(teacher.transformer);
  m.sampler = config.sampler;
  const FlowSchedule schedule = FlowSampler(config.sampler).schedule();
  m.num_steps = schedule.num_steps();
  m.shift = schedule_of(config.sampler).shift;
  m.guidance = config.guidance;
  m.latent_shape = {teacher.sample_shape[0], config.frames, config.height, config.width};
  m.sigma.assign(schedule.sigma.begin(), schedule.sigma.end());
  m.timestep.assign(schedule.timestep.begin(), schedule.timestep.end());
  m.keep = kept_steps(config.keep, m.num_steps);
  m.store = config.store;
  m.dtype = config.dtype;
  m.precision = config.precision;
  m.seed = config.run.seed;
  m.batch_size = config.batch_size;
  m.prompt_order = config.prompt_order;
  m.negative_prompt = config.negative_prompt;
  m.prompt_file = config.prompts;
  m.prompts = read_prompts(config.prompts);
  m.prompt_digest = digest_of_file(config.prompts);
  m.num_trajectories = config.num_trajectories;
  m.trajectories_per_shard = std::clamp<int64_t>(config.shard_bytes / m.trajectory_bytes(), 1, config.num_trajectories);
  return m;
}

TrajectoriesCost trajectories_cost(const TrajectoryManifest& m) {
  TrajectoriesCost cost;
  cost.bytes = m.num_trajectories * m.trajectory_bytes();
  cost.bytes_on_disk = files_bound(m, 0);
  cost.nfe = m.num_trajectories * m.num_steps;
  cost.network_calls = cost.nfe * (guidance_needs_unconditional(m.guidance) ? 2 : 1);
  return cost;
}

int64_t free_bytes_of(const fs::path& folder) {
  fs::path there = fs::absolute(folder);
  while (!fs::exists(there) && there.has_relative_path()) there = there.parent_path();
  return static_cast<int64_t>(fs::space(there).available);
}

void require_room(const TrajectoryManifest& manifest, const fs::path& folder, const FreeBytes& free_bytes) {
  const auto finished = static_cast<int64_t>(manifest.shards.file.size());
  const int64_t needed = files_bound(manifest, finished), free = free_bytes(folder);
  check_input(free >= needed,
              "{}: no room for these trajectories: {} shards need {} bytes ({:.2f} GB), and {} ({:.2f} GB) are free; choose another --output, fewer "
              "num_trajectories or kept steps",
              folder.string(), manifest.num_shards() - finished, needed, gb(needed), free, gb(free));
}

void visit_fields(FieldVisitor& v, TrajectoriesSummary& s) {
  visit(v, Field("num_trajectories", "paths in the folder"), s.num_trajectories);
  visit(v, Field("pairs", "kept steps of all of them"), s.pairs);
  visit(v, Field("shards", "files"), s.shards);
  visit(v, Field("bytes", "of all files"), s.bytes);
  visit(v, Field("nfe", "function evaluations in this part of the run"), s.nfe);
  visit(v, Field("network_calls", "calls of the network for one video, in this part"), s.network_calls);
  visit(v, Field("generating_seconds", "of this part"), s.generating_seconds);
  visit(v, Field("writing_seconds", "of this part"), s.writing_seconds);
  visit(v, Field("nfe_per_second", "of generating"), s.nfe_per_second);
  visit(v, Field("written_mb_per_second", "of writing, checksums included"), s.written_mb_per_second);
}

TrajectoriesSummary make_trajectories(const TrajectoriesConfig& config, TrajectoryManifest manifest, const VideoModel& teacher, RunDirectory& run,
                                      at::Device device, const FreeBytes& free_bytes) {
  take_finished(manifest, run);
  remove_unfinished(run.path());
  int64_t finished = 0;
  while (shard_is_there(run.path(), manifest, finished)) ++finished;
  const TrajectoryShards listed = manifest.shards;
  for (auto* column : {&manifest.shards.first, &manifest.shards.count, &manifest.shards.bytes}) column->resize(static_cast<size_t>(finished));
  for (auto* column : {&manifest.shards.file, &manifest.shards.crc32}) column->resize(static_cast<size_t>(finished));
  if (finished < static_cast<int64_t>(listed.file.size()))
    log_warning("{}: is missing or has another size than {} says; it and the shards after it are made again",
                run.file(listed.file[static_cast<size_t>(finished)]).string(), kManifestFile);
  if (run.resumed()) log_info("resumed with {} of {} finished shards", finished, manifest.num_shards());
  require_room(manifest, run.path(), free_bytes);
  write_manifest(run.path(), manifest);

  const TrajectoryGenerator generator(manifest, teacher_velocity(teacher, manifest, device), device, at::kCPU);
  TrajectoriesSummary summary;
  Progress progress("trajectories", manifest.num_trajectories * manifest.num_steps, "NFE",
                    std::min(finished * manifest.trajectories_per_shard, manifest.num_trajectories) * manifest.num_steps);
  ShardMaker maker(manifest, generator, progress, run.path());
  for (int64_t shard = finished; shard < manifest.num_shards(); ++shard) {
    require_room_for_shard(manifest, shard, run.path(), free_bytes);
    maker.make(manifest, shard, summary);
    run.log_metrics(shard, {{"bytes", static_cast<double>(manifest.shards.bytes.back())},
                            {"generating_seconds", summary.generating_seconds},
                            {"writing_seconds", summary.writing_seconds}});
  }
  progress.finish();
  summary.num_trajectories = config.num_trajectories;
  summary.pairs = manifest.num_pairs();
  summary.shards = manifest.num_shards();
  for (const int64_t bytes : manifest.shards.bytes) summary.bytes += bytes;
  summary.network_calls = summary.nfe * (guidance_needs_unconditional(manifest.guidance) ? 2 : 1);
  summary.nfe_per_second = static_cast<double>(summary.nfe) / std::max(summary.generating_seconds, 1e-9);
  return summary;
}

}  // namespace linden
