#include "transfer/trajectory_manifest.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVersion = 1;

std::string describe(const GuidanceConfig& g) { return fmt::format("{} {}", g.convention, g.scale); }

void check_consistent(const TrajectoryManifest& m, const std::string& file) {
  const auto num_steps = static_cast<size_t>(std::max<int64_t>(m.num_steps, 0));
  check_input(m.latent_shape.size() == 4 && m.num_steps >= 1 && m.timestep.size() == num_steps && m.sigma.size() == num_steps + 1 && !m.keep.empty() &&
                  !m.prompts.empty() && m.num_trajectories >= 1 && m.trajectories_per_shard >= 1,
              "{}: damaged: {} levels and {} timesteps for {} steps, {} kept steps, {} prompts, {} trajectories, latent shape of {} numbers", file,
              m.sigma.size(), m.timestep.size(), m.num_steps, m.keep.size(), m.prompts.size(), m.num_trajectories, m.latent_shape.size());
  check_input(std::ranges::is_sorted(m.keep) && m.keep.front() >= 0 && m.keep.back() < m.num_steps, "{}: damaged: keep is [{}], wanted rising steps in 0..{}",
              file, fmt::join(m.keep, ", "), m.num_steps - 1);
  check_input(std::ranges::all_of(m.latent_shape, [](int64_t size) { return size >= 1; }), "{}: damaged: latent_shape is [{}]", file,
              fmt::join(m.latent_shape, ", "));
  const TrajectoryShards& s = m.shards;
  const size_t count = s.file.size();
  check_input(
      s.first.size() == count && s.count.size() == count && s.bytes.size() == count && s.crc32.size() == count && count <= static_cast<size_t>(m.num_shards()),
      "{}: damaged: the lists in shards have different lengths, or more entries than there are shards ({})", file, m.num_shards());
  for (size_t i = 0; i < count; ++i) {
    const std::string wanted = shard_file(static_cast<int64_t>(i));
    check_input(s.file[i] == wanted, "{}: damaged: shard {} is said to be the file {}, wanted {}", file, i, s.file[i], wanted);
    check_input(s.first[i] == static_cast<int64_t>(i) * m.trajectories_per_shard && s.count[i] == m.shard_count(static_cast<int64_t>(i)),
                "{}: damaged: shard {} is said to hold {} trajectories from {} on, wanted {} from {} on", file, s.file[i], s.count[i], s.first[i],
                m.shard_count(static_cast<int64_t>(i)), static_cast<int64_t>(i) * m.trajectories_per_shard);
  }
}

}  // namespace

void visit_fields(FieldVisitor& v, TrajectoryShards& c) {
  visit(v, Field("file", "of each finished shard"), c.file);
  visit(v, Field("first", "its first trajectory").at_least(0), c.first);
  visit(v, Field("count", "its trajectories").at_least(1), c.count);
  visit(v, Field("bytes", "of the file").at_least(1), c.bytes);
  visit(v, Field("crc32", "of the file"), c.crc32);
}

void visit_fields(FieldVisitor& v, TrajectoryManifest& c) {
  visit(v, Field("version", "of this format"), c.version);
  visit(v, Field("teacher", "SHA-256 of the teacher's configs and tensors"), c.teacher);
  visit(v, Field("teacher_folder", "where it lay"), c.teacher_folder);
  visit(v, Field("teacher_weights", "folder, or formula:SEED"), c.teacher_weights);
  visit(v, Field("attention", "kind of each block's self-attention"), c.attention);
  visit(v, Field("sampler", "the teacher's sampler"), c.sampler);
  visit(v, Field("num_steps", "of the sampler").at_least(1), c.num_steps);
  visit(v, Field("shift", "of the levels").above(0), c.shift);
  visit(v, Field("guidance", "of the teacher"), c.guidance);
  visit(v, Field("latent_shape", "channels, frames, rows, columns").at_least(1), c.latent_shape);
  visit(v, Field("sigma", "level before each step, and 0 after the last"), c.sigma);
  visit(v, Field("timestep", "that the network was given at each step"), c.timestep);
  visit(v, Field("keep", "kept steps"), c.keep);
  visit(v, Field("store", "x or x_and_velocity").one_of({"x", "x_and_velocity"}), c.store);
  visit(v, Field("dtype", "of the latents").one_of({"bf16", "fp32"}), c.dtype);
  visit(v, Field("precision", "of the teacher"), c.precision);
  visit(v, Field("seed", "of the noise and the order of prompts"), c.seed);
  visit(v, Field("batch_size", "trajectories in flight at once").at_least(1), c.batch_size);
  visit(v, Field("prompt_order", "cycle or shuffled").one_of({"cycle", "shuffled"}), c.prompt_order);
  visit(v, Field("negative_prompt", "of the unconditional half"), c.negative_prompt);
  visit(v, Field("prompt_file", "where the prompts came from"), c.prompt_file);
  visit(v, Field("prompt_digest", "SHA-256 of that file"), c.prompt_digest);
  visit(v, Field("prompts", "in the file's order"), c.prompts);
  visit(v, Field("num_trajectories", "when all shards are finished").at_least(1), c.num_trajectories);
  visit(v, Field("trajectories_per_shard", "fewer in the last").at_least(1), c.trajectories_per_shard);
  visit(v, Field("shards", "the finished ones"), c.shards);
}

int64_t TrajectoryManifest::num_shards() const { return (num_trajectories + trajectories_per_shard - 1) / trajectories_per_shard; }
int64_t TrajectoryManifest::shard_count(int64_t shard) const { return std::min(trajectories_per_shard, num_trajectories - shard * trajectories_per_shard); }
int64_t TrajectoryManifest::elements() const {
  int64_t product = 1;
  for (const int64_t size : latent_shape) product *= size;
  return product;
}
int64_t TrajectoryManifest::trajectory_bytes() const { return num_kept() * elements() * (has_velocity() ? 2 : 1) * (dtype == "bf16" ? 2 : 4); }

std::string shard_file(int64_t shard) { return fmt::format("trajectories_{:05}.h5", shard); }

int64_t shard_file_bound(const TrajectoryManifest& m, int64_t shard) {
  return m.shard_count(shard) * (m.trajectory_bytes() + static_cast<int64_t>(sizeof(int64_t))) + kShardOverhead;
}

int64_t prompt_of(const TrajectoryManifest& m, int64_t trajectory) {
  const auto count = static_cast<int64_t>(m.prompts.size());
  const int64_t place = trajectory % count;
  if (m.prompt_order == "cycle") return place;
  return permutation(static_cast<uint64_t>(m.seed), Purpose::kData, static_cast<uint64_t>(trajectory / count), count)[static_cast<size_t>(place)];
}

TrajectoryManifest read_manifest(const fs::path& folder) {
  const fs::path file = folder / kManifestFile;
  check_input(fs::exists(file), "{}: there is no {} in it; wanted a folder that `linden trajectories` wrote", folder.string(), kManifestFile);
  TrajectoryManifest manifest;
  from_json(read_text_file(file), file.string(), manifest);
  check_input(manifest.version == kVersion, "{}: version is {}, and this linden reads {}", file.string(), manifest.version, kVersion);
  check_consistent(manifest, file.string());
  return manifest;
}

void write_manifest(const fs::path& folder, const TrajectoryManifest& manifest) { write_file_atomically(folder / kManifestFile, to_json(manifest) + "\n"); }

std::vector<std::string> read_prompts(const fs::path& file) {
  std::vector<std::string> prompts;
  std::istringstream lines(read_text_file(file));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") != std::string::npos) prompts.push_back(line);
  }
  check_input(!prompts.empty(), "{}: there is no prompt in it; wanted one a line", file.string());
  return prompts;
}

void require_teacher(const TrajectoryManifest& m, const fs::path& folder, const std::string& digest, const fs::path& teacher_folder) {
  check_input(m.teacher == digest,
              "{}: these trajectories are of another teacher: theirs is {} (then in {}), but {} is {}; make new ones with `linden trajectories`, or name the "
              "folder of their teacher",
              folder.string(), m.teacher, m.teacher_folder, teacher_folder.string(), digest);
}

void require_guidance(const TrajectoryManifest& m, const GuidanceConfig& wanted) {
  if (m.guidance.convention == wanted.convention && m.guidance.scale == wanted.scale) return;
  const bool same_convention = m.guidance.convention == wanted.convention;
  const double scale = m.guidance.scale + (same_convention ? 0 : wanted.convention == "u_plus" ? 1 : -1);
  throw InputError(fmt::format("guidance is {}, but the trajectories were made with {}{}; {}", describe(wanted), describe(m.guidance),
                               same_convention ? "" : fmt::format(" (in {} that is {})", wanted.convention, scale),
                               same_convention ? fmt::format("set guidance.scale to {}, or make new ones", scale)
                                               : fmt::format("set guidance to {}, as they say it", describe(m.guidance))));
}

void require_latents(const TrajectoryManifest& m, int64_t channels, const std::vector<int64_t>& patch_size) {
  const auto& shape = m.latent_shape;
  bool fits = shape[0] == channels;
  for (size_t d = 0; d < 3; ++d) fits = fits && shape[d + 1] % patch_size[d] == 0;
  check_input(fits,
              "the trajectories' latents are [{}] (channels, frames, rows, columns), but the model takes {} channels and multiples of [{}]; make new ones with "
              "this model",
              fmt::join(shape, ", "), channels, fmt::join(patch_size, ", "));
}

}  // namespace linden
