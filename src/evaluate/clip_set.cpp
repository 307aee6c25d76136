#include "evaluate/clip_set.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <numeric>

#include "core/error.h"
#include "io/hdf5.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

ClipSet real_clips(int64_t count, const ClipJudgeConfig& config) {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 2 * config.num_real);
  Clips clips = MovingDigits(config.data, static_cast<uint64_t>(config.data_seed)).clips(indices);
  return {clips.video, clips.digit, clips.motion};
}

}  // namespace

ClipSet load_clip_set(const std::string& path, int64_t limit, const ClipJudgeConfig& config) {
  if (path == kRealClips) return real_clips(limit > 0 ? limit : config.num_real, config);
  const fs::path file = fs::is_directory(path) ? fs::path(path) / "samples.h5" : fs::path(path);
  check_input(fs::exists(file), "{}: there is no such file; give a run folder of linden sample, its samples.h5, or {}", file.string(), kRealClips);
  const Hdf5Reader reader(file);
  const std::vector<std::string> names = reader.names();
  for (const char* wanted : {"samples", "digit", "motion"})
    check_input(std::ranges::find(names, wanted) != names.end(),
                "{}: there is no \"{}\"; the file holds {}; clips come from linden sample with a video prior and moving-digits captions", file.string(), wanted,
                fmt::join(names, ", "));
  ClipSet set{reader.read("samples").to(at::kFloat), reader.read("digit"), reader.read("motion")};
  check_input(set.video.dim() == 5, "{}: samples are [{}], wanted clips [S, 1, F, Y, X]", file.string(), fmt::join(set.video.sizes(), ", "));
  const int64_t count = limit > 0 ? std::min(limit, set.video.size(0)) : set.video.size(0);
  check_input(count >= 2, "{}: {} clips, wanted at least 2", file.string(), count);
  return {set.video.narrow(0, 0, count), set.digit.narrow(0, 0, count), set.motion.narrow(0, 0, count)};
}

}  // namespace linden
