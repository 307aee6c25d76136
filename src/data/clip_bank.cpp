#include "data/clip_bank.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/error.h"

namespace linden {
namespace {

at::Tensor directions() {
  std::vector<int64_t> values;
  for (const Motion& motion : motions()) values.insert(values.end(), {motion.dy, motion.dx});
  return at::tensor(values, at::kLong).reshape({-1, 2});
}

// (0, 0) is no motion: -1.
at::Tensor motions_by_direction() {
  at::Tensor table = at::full({3, 3}, -1, at::kLong);
  for (size_t i = 0; i < motions().size(); ++i) table[motions()[i].dy + 1][motions()[i].dx + 1] = static_cast<int64_t>(i);
  return table;
}

// ids of clip_caption(digit, motion): [10, 8, L]
at::Tensor all_captions(const CaptionTable& table) {
  std::vector<std::string> captions;
  for (int64_t digit = 0; digit <= 9; ++digit)
    for (int64_t motion = 0; motion < static_cast<int64_t>(motions().size()); ++motion) captions.push_back(clip_caption(digit, motion));
  return table.encode(captions).reshape({10, static_cast<int64_t>(motions().size()), table.max_length()});
}

}  // namespace

ClipBank::ClipBank(const MovingDigits& set, int64_t count) : config_(set.config()), last_(set.last_place()), sprites_(set.sprites().alpha) {
  check(count >= 1, "ClipBank: {} clips, wanted at least 1", count);
  const int64_t side = std::max<int64_t>(1, config_.texture_cells);
  digit = at::empty({count}, at::kLong);
  motion = at::empty({count}, at::kLong);
  sprite_ = at::empty({count}, at::kLong);
  start_ = at::empty({count, 2}, at::kShort);
  cells_ = at::empty({count, side, side}, at::kFloat);
  int64_t *digits = digit.data_ptr<int64_t>(), *moved = motion.data_ptr<int64_t>(), *sprites = sprite_.data_ptr<int64_t>();
  int16_t* starts = start_.data_ptr<int16_t>();
  float* cells = cells_.data_ptr<float>();
  at::parallel_for(0, count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const ClipContent content = set.content(i, cells + i * side * side);
      digits[i] = content.digit;
      moved[i] = content.motion;
      sprites[i] = content.sprite;
      starts[2 * i] = static_cast<int16_t>(content.start.y);
      starts[2 * i + 1] = static_cast<int16_t>(content.start.x);
    }
  });
  direction_ = directions();
  step_motion_ = motions_by_direction();
  captions = all_captions(clip_caption_table()).index({digit, motion});
}

ClipBank ClipBank::to(at::Device device) const {
  ClipBank moved = *this;
  for (at::Tensor* tensor :
       {&moved.digit, &moved.motion, &moved.captions, &moved.sprites_, &moved.sprite_, &moved.start_, &moved.direction_, &moved.step_motion_, &moved.cells_})
    *tensor = tensor->to(device);
  return moved;
}

// rows [B], frames [B, F] -> [B, F, 2] in steps: a triangle wave of period 2 last, as motion_path.
at::Tensor ClipBank::places(const at::Tensor& rows, const at::Tensor& frames) const {
  const at::Tensor start = start_.index_select(0, rows).to(at::kLong).unsqueeze(1);                    // [B, 1, 2]
  const at::Tensor direction = direction_.index_select(0, motion.index_select(0, rows)).unsqueeze(1);  // [B, 1, 2]
  const at::Tensor phase = (start + frames.unsqueeze(2) * direction).remainder(2 * last_);
  return at::minimum(phase, 2 * last_ - phase);
}

at::Tensor ClipBank::clips(const at::Tensor& rows) const { return clips(rows, at::zeros_like(rows), config_.frames); }

at::Tensor ClipBank::clips(const at::Tensor& rows, const at::Tensor& frame, int64_t count) const {
  const int64_t size = config_.size, n = config_.digit_size, batch = rows.size(0);
  const at::Tensor frames = frame.unsqueeze(1) + at::arange(count, rows.options());  // [B, F]
  const at::Tensor corner = places(rows, frames) * config_.step;                     // [B, F, 2] pixels
  const at::Tensor pixel = at::arange(size, rows.options());
  const at::Tensor y = pixel - corner.select(2, 0).unsqueeze(2), x = pixel - corner.select(2, 1).unsqueeze(2);  // [B, F, size]: within the sprite
  const at::Tensor inside = (y.ge(0) & y.lt(n)).unsqueeze(3) & (x.ge(0) & x.lt(n)).unsqueeze(2);                // [B, F, Y, X]
  const at::Tensor place = y.clamp(0, n - 1).unsqueeze(3) * n + x.clamp(0, n - 1).unsqueeze(2);
  const at::Tensor sprite = sprites_.flatten(1).index_select(0, sprite_.index_select(0, rows));  // [B, n n]
  const at::Tensor alpha = sprite.gather(1, place.flatten(1)).reshape({batch, count, size, size}) * inside;
  const at::Tensor cells = cells_.index_select(0, rows);
  const int64_t side = cells.size(1), cell = size / side;
  const at::Tensor texture = cells.reshape({batch, 1, side, 1, side, 1}).expand({batch, 1, side, cell, side, cell}).reshape({batch, 1, size, size});
  return ((1 - alpha) * texture + alpha).unsqueeze(1);
}

at::Tensor ClipBank::steps(const at::Tensor& rows, const at::Tensor& frame) const {
  const at::Tensor both = places(rows, at::stack({frame, frame + 1}, 1));  // [B, 2, 2]
  const at::Tensor moved = both.select(1, 1) - both.select(1, 0) + 1;      // [B, 2] in 0 .. 2
  return step_motion_.flatten().index_select(0, moved.select(1, 0) * 3 + moved.select(1, 1));
}

}  // namespace linden
