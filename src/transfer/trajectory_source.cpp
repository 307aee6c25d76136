#include "transfer/trajectory_source.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/logging.h"
#include "core/progress.h"
#include "transfer/trajectory_shard.h"

namespace linden {
namespace {

at::TensorOptions stored_options(const TrajectoryManifest& manifest, at::Device device) {
  return at::TensorOptions().device(device).dtype(manifest.dtype == "bf16" ? at::kBFloat16 : at::kFloat);
}

std::vector<int64_t> pairs_shape(const TrajectoryManifest& manifest, int64_t pairs) {
  std::vector<int64_t> shape = {pairs};
  shape.insert(shape.end(), manifest.latent_shape.begin(), manifest.latent_shape.end());
  return shape;
}

at::Tensor gather(const at::Tensor& latents, const at::Tensor& rows) { return latents.index_select(0, rows).to(at::kFloat); }

}  // namespace

TrajectorySource::TrajectorySource(TrajectoryManifest manifest, at::Device device) : manifest_(std::move(manifest)), device_(device) {
  std::vector<float> sigma, next_sigma, timestep;
  for (const int64_t kept : manifest_.keep) {
    const auto i = static_cast<size_t>(kept);
    sigma.push_back(static_cast<float>(manifest_.sigma[i]));
    next_sigma.push_back(static_cast<float>(manifest_.sigma[i + 1]));
    timestep.push_back(static_cast<float>(manifest_.timestep[i]));
  }
  sigma_ = at::tensor(sigma, at::kFloat).to(device);
  next_sigma_ = at::tensor(next_sigma, at::kFloat).to(device);
  timestep_ = at::tensor(timestep, at::kFloat).to(device);
  step_ = at::tensor(manifest_.keep, at::kLong).to(device);
}

void TrajectorySource::check_rows(const at::Tensor& rows) const {
  check(rows.dim() == 1 && rows.scalar_type() == at::kLong && rows.device().type() == device_.type(),
        "TrajectorySource::batch: rows are {} with {} dimensions on {}, wanted [B] int64 on {}", c10::toString(rows.scalar_type()), rows.dim(),
        rows.device().str(), device_.str());
}

TrajectoryBatch TrajectorySource::place(const at::Tensor& rows, const at::Tensor& prompt_of_trajectory) const {
  const at::Tensor kept = rows.remainder(manifest_.num_kept());
  TrajectoryBatch out;
  out.sigma = sigma_.index_select(0, kept);
  out.next_sigma = next_sigma_.index_select(0, kept);
  out.timestep = timestep_.index_select(0, kept);
  out.step = step_.index_select(0, kept);
  out.prompt = prompt_of_trajectory.index_select(0, rows.div(manifest_.num_kept(), "floor"));
  return out;
}

StoredTrajectories::StoredTrajectories(const std::filesystem::path& folder, at::Device device, int64_t device_bytes, bool verify)
    : TrajectorySource(read_manifest(folder), device) {
  const auto finished = static_cast<int64_t>(manifest_.shards.file.size());
  check_input(finished == manifest_.num_shards(), "{}: {} of {} shards are finished; run the same `linden trajectories` with --resume first", folder.string(),
              finished, manifest_.num_shards());
  if (manifest_.num_trajectories * manifest_.trajectory_bytes() <= device_bytes) {
    x_ = at::empty(pairs_shape(manifest_, size()), stored_options(manifest_, device));
    if (manifest_.has_velocity()) velocity_ = at::empty_like(x_);
  }
  load(folder, verify);
}

StoredTrajectories::~StoredTrajectories() = default;

void StoredTrajectories::load(const std::filesystem::path& folder, bool verify) {
  std::vector<at::Tensor> prompts;
  for (int64_t i = 0; i < manifest_.num_shards(); ++i) {
    auto shard = std::make_unique<TrajectoryShard>(folder, manifest_, i, verify);
    prompts.push_back(shard->prompt());
    const int64_t first = shard->first() * manifest_.num_kept(), count = shard->count() * manifest_.num_kept();
    if (on_device()) {
      x_.narrow(0, first, count).copy_(shard->x());
      if (velocity_.defined()) velocity_.narrow(0, first, count).copy_(shard->velocity());
    } else {
      shard->release_pages();
      shards_.push_back(std::move(shard));
    }
  }
  prompt_ = at::cat(prompts).to(device_);
}

TrajectoryBatch StoredTrajectories::batch(const at::Tensor& rows, int64_t) {
  check_rows(rows);
  TrajectoryBatch out = place(rows, prompt_);
  out.x = on_device() ? gather(x_, rows) : read_rows(rows, /*velocity=*/false);
  if (manifest_.has_velocity()) out.velocity = on_device() ? gather(velocity_, rows) : read_rows(rows, /*velocity=*/true);
  return out;
}

at::Tensor StoredTrajectories::read_rows(const at::Tensor& rows, bool velocity) const {
  const at::Tensor host_rows = rows.cpu().contiguous();
  at::Tensor out = at::empty(pairs_shape(manifest_, rows.size(0)), stored_options(manifest_, at::kCPU).pinned_memory(device_.is_cuda()));
  const int64_t pairs_per_shard = manifest_.trajectories_per_shard * manifest_.num_kept();
  for (int64_t b = 0; b < rows.size(0); ++b) {
    const int64_t row = host_rows.const_data_ptr<int64_t>()[b];
    check(row >= 0 && row < size(), "StoredTrajectories::batch: row {} of {} pairs", row, size());
    const TrajectoryShard& shard = *shards_[static_cast<size_t>(row / pairs_per_shard)];
    out[b].copy_((velocity ? shard.velocity() : shard.x())[row % pairs_per_shard]);
  }
  return out.to(device_).to(at::kFloat);
}

void visit_fields(FieldVisitor& v, RollingConfig& c) {
  visit(v, Field("capacity", "trajectories at hand").at_least(1), c.capacity);
  visit(v, Field("refill", "trajectories that are replaced at once, the oldest; divides capacity").at_least(1), c.refill);
  visit(v, Field("refill_every", "training steps between two refills").at_least(1), c.refill_every);
}

RollingTrajectories::RollingTrajectories(const TrajectoryManifest& manifest, TeacherVelocity teacher, const RollingConfig& config, at::Device device)
    : TrajectorySource(manifest, device),
      config_(config),
      generator_(manifest, std::move(teacher), device, device) {
  if (config.refill < 1 || config.refill_every < 1 || config.capacity < 1 || config.capacity % config.refill != 0)
    throw ConfigError(fmt::format("rolling trajectories: refill is {} and capacity {}; wanted a capacity that refill divides", config.refill, config.capacity));
  x_ = at::empty(pairs_shape(manifest_, size()), stored_options(manifest_, device));
  if (manifest_.has_velocity()) velocity_ = at::empty_like(x_);
  prompt_ = at::empty({config.capacity + config.held_out}, at::TensorOptions().device(device).dtype(at::kLong));
}

// Trajectories are made in blocks of `refill`, whoever asks for them, so that a block's bits do not depend on when it is made.
void RollingTrajectories::prepare(int64_t step) {
  const int64_t blocks = config_.capacity / config_.refill, oldest = step / config_.refill_every;
  const bool none_stay = first_block_ < 0 || oldest < first_block_ || oldest >= first_block_ + blocks;
  const int64_t next = none_stay ? oldest : first_block_ + blocks;
  if (next == oldest + blocks) return;
  const bool first_time = first_block_ < 0;
  first_block_ = -1;  // should the teacher throw
  if (none_stay) log_info("rolling buffer: {} trajectories are made", config_.capacity + (first_time ? config_.held_out : 0));
  if (first_time && config_.held_out > 0) put(kFirstHeldOut, config_.held_out, config_.capacity);
  for (int64_t block = next; block < oldest + blocks; ++block) make_block(block);
  first_block_ = oldest;
  filled_once_ = true;
}

void RollingTrajectories::make_block(int64_t block) {
  const int64_t first = block * config_.refill;
  put(first, config_.refill, first % config_.capacity);
}

void RollingTrajectories::put(int64_t first, int64_t count, int64_t slot) {
  const Trajectories made = generator_.generate(first, count, [this](int64_t) {
    if (!filled_once_ && interrupt_requested()) throw Interrupted("interrupted while the rolling buffer was filled; saved states are kept: --resume goes on");
  });
  const int64_t kept = manifest_.num_kept();
  x_.narrow(0, slot * kept, count * kept).copy_(made.x.flatten(0, 1));
  if (velocity_.defined()) velocity_.narrow(0, slot * kept, count * kept).copy_(made.velocity.flatten(0, 1));
  prompt_.narrow(0, slot, count).copy_(made.prompt);
}

TrajectoryBatch RollingTrajectories::batch(const at::Tensor& rows, int64_t step) {
  check_rows(rows);
  check(step / config_.refill_every == first_block_,
        "RollingTrajectories::batch: at step {} the oldest block should be {}, but it is {}; call prepare({}) first", step, step / config_.refill_every,
        first_block_, step);
  TrajectoryBatch out = place(rows, prompt_);
  out.x = gather(x_, rows);
  if (velocity_.defined()) out.velocity = gather(velocity_, rows);
  return out;
}

}  // namespace linden
