#include "transfer/strip.h"

#include <ATen/ATen.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/apng.h"
#include "io/png.h"

namespace linden {
namespace {

constexpr int64_t kMostClips = 8, kMostFrames = 16;
constexpr int64_t kWideEnough = 900;  // pixels: a strip is enlarged as long as it stays below
constexpr int64_t kGap = 1, kPairGap = 8;
constexpr int64_t kWhite = 255;

// Whole pixels, so that small pictures stay sharp.
int64_t enlargement(int64_t width) { return std::clamp<int64_t>(kWideEnough / std::max<int64_t>(width, 1), 1, 4); }

at::Tensor first_clips(const at::Tensor& clips) { return clips.narrow(0, 0, std::min(kMostClips, clips.size(0))); }

at::Tensor spaced_frames(const at::Tensor& clips) {
  const int64_t frames = clips.size(2);
  if (frames <= kMostFrames) return clips;
  return clips.index_select(2, at::linspace(0, static_cast<double>(frames - 1), kMostFrames, at::kDouble).round().to(at::kLong));
}

// [N B, ...]: clip 0 of each of the N sets, clip 1 of each ...
at::Tensor alternating(const std::vector<at::Tensor>& sets) { return at::stack(sets, 1).flatten(0, 1); }

}  // namespace

at::Tensor shown_channels(const at::Tensor& clips, const at::Tensor& reference) {
  check(clips.dim() == 5 && clips.numel() > 0 && reference.dim() == 5 && clips.sizes().slice(1) == reference.sizes().slice(1),
        "shown_channels: wanted clips [B, C, F, Y, X] and a reference of the same C, F, Y, X, got {} and {}", fmt::streamed(clips.sizes()),
        fmt::streamed(reference.sizes()));
  const int64_t channels = clips.size(1), shown = channels >= 3 ? 3 : 1;
  const at::Tensor x = clips.detach().narrow(1, 0, shown).to(at::kCPU, at::kFloat);
  if (channels == shown) return x;
  const at::Tensor scale = reference.detach().narrow(1, 0, shown).to(at::kCPU, at::kFloat).transpose(0, 1).flatten(1);  // [C, rest]
  const std::vector<int64_t> by_channel = {1, shown, 1, 1, 1};
  const at::Tensor mean = scale.mean(1).view(by_channel), deviation = scale.std(at::IntArrayRef({1}), /*unbiased=*/false).clamp_min(1e-6).view(by_channel);
  return ((x - mean) / (3 * deviation)).clamp(-1, 1);
}

std::filesystem::path write_strip(const std::filesystem::path& folder, int64_t step, const at::Tensor& teacher, const at::Tensor& student,
                                  const at::Tensor& compared, int64_t frame_ms) {
  std::vector<at::Tensor> sets;
  for (const at::Tensor& clips : {teacher, student, compared}) {
    if (!clips.defined()) continue;
    check(teacher.sizes() == clips.sizes(), "write_strip: wanted clips of one shape, got {} of the teacher and {} of a student", fmt::streamed(teacher.sizes()),
          fmt::streamed(clips.sizes()));
    sets.push_back(shown_channels(first_clips(clips), teacher));
  }
  const auto of_clip = static_cast<int64_t>(sets.size()), count = sets[0].size(0);
  const at::Tensor clips = alternating(sets), rows = spaced_frames(clips);  // [of_clip B, C, F, Y, X]
  const int64_t scale = enlargement(rows.size(2) * rows.size(4));
  std::vector<at::Tensor> parts;
  for (int64_t clip = 0; clip < count; ++clip) {
    const at::Tensor group = clip_sheet(rows.narrow(0, of_clip * clip, of_clip), scale, kGap);
    if (clip > 0) parts.push_back(at::full({group.size(0), kPairGap, group.size(2)}, kWhite, at::kByte));
    parts.push_back(group);
  }
  const std::map<std::string, std::string> text = {
      {"step", std::to_string(step)},
      {"rows", compared.defined() ? "teacher above student above the model that is compared, clip by clip" : "teacher above student, clip by clip"}};
  const auto file = folder / fmt::format("strip_{}.png", step);
  write_png(file, at::cat(parts, 1), text);
  const int64_t columns = of_clip * std::max<int64_t>(1, count / 4);  // groups side by side where there are many
  write_apng(folder / fmt::format("strip_{}.apng", step), clip_grid(clips, columns, std::min<int64_t>(2, scale)), frame_ms, text);
  return file;
}

void write_moving_clips(const std::filesystem::path& file, const at::Tensor& clips, const at::Tensor& reference, int64_t frame_ms) {
  const at::Tensor shown = shown_channels(clips, reference);
  write_apng(file, clip_grid(shown, 0, std::min<int64_t>(2, enlargement(4 * shown.size(4)))), frame_ms);
}

}  // namespace linden
