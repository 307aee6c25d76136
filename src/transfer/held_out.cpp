#include "transfer/held_out.h"

#include <ATen/ATen.h>

#include <vector>

#include "train/autocast.h"

namespace linden {

HeldOut::HeldOut(const TransferConfig& config, TrajectorySource& source, const CaptionBatch& prompts, at::Device device)
    : bf16_(config.precision == "bf16"),
      device_(device) {
  const int64_t kept = source.manifest().num_kept(), trajectories = source.size() / kept, held = config.num_held_out;
  std::vector<int64_t> rows;
  for (int64_t p = 0; p < config.num_points; ++p) rows.push_back((trajectories - held + p % held) * kept + p * kept / config.num_points);
  source.prepare(0);
  const TrajectoryBatch batch = source.batch(at::tensor(rows, at::kLong).to(device), 0);
  x_ = batch.x.clone();
  sigma_ = batch.sigma.clone();
  captions_ = {prompts.text.index_select(0, batch.prompt), prompts.none};
}

double HeldOut::gap(VideoDit student, VideoDit teacher) const {
  const Bf16Scope bf16(bf16_, device_);
  return velocity_gap(student, teacher, x_, sigma_, captions_);
}

}  // namespace linden
