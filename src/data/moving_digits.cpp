#include "data/moving_digits.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/random.h"

namespace linden {
namespace {

DigitSprites of_classes(const DigitSprites& all, const std::vector<int64_t>& classes) {
  if (classes.empty()) return all;
  const std::set<int64_t> wanted(classes.begin(), classes.end());
  const int64_t* labels = all.labels.const_data_ptr<int64_t>();
  std::vector<int64_t> kept, rows;
  for (int64_t s = 0; s < all.labels.numel(); ++s) {
    if (!wanted.contains(labels[s])) continue;
    kept.push_back(s);
    rows.push_back(all.rows[s]);
  }
  const at::Tensor index = at::tensor(kept, at::kLong);
  return {all.alpha.index_select(0, index), all.labels.index_select(0, index), std::move(rows)};
}

GridPlace draw_start(RandomStream& stream, const Motion& motion, int64_t last) {
  const auto draw = [&](int64_t direction) {
    const PlaceRange range = start_places(direction, last);
    return range.lowest + static_cast<int64_t>(stream.below(static_cast<uint64_t>(range.highest - range.lowest + 1)));
  };
  const int64_t y = draw(motion.dy);
  return {y, draw(motion.dx)};
}

int64_t cells_a_side(const MovingDigitsConfig& config) { return std::max<int64_t>(1, config.texture_cells); }

// Uniform values of [0, brightness] as [-1, 1], row by row.
void draw_cells(RandomStream& stream, const MovingDigitsConfig& config, float* cells) {
  for (int64_t i = 0; i < cells_a_side(config) * cells_a_side(config); ++i) {
    const double value = config.texture_cells > 0 ? stream.uniform() * config.texture_brightness : 0;
    cells[i] = static_cast<float>(2 * value - 1);
  }
}

// The cells enlarged to size x size without interpolation.
void put_texture(const float* cells, const MovingDigitsConfig& config, float* frame) {
  const int64_t side = cells_a_side(config), cell = config.size / side;
  for (int64_t i = 0; i < side; ++i) {
    float* first = frame + i * cell * config.size;  // the first pixel row of this row of cells
    for (int64_t j = 0; j < side; ++j) std::fill_n(first + j * cell, cell, cells[i * side + j]);
    for (int64_t y = 1; y < cell; ++y) std::copy_n(first, config.size, first + y * config.size);
  }
}

// White ink over the frame; alpha: [n, n], its corner at `corner` in pixels.
void put_digit(const float* alpha, int64_t n, GridPlace corner, int64_t size, float* frame) {
  for (int64_t y = 0; y < n; ++y) {
    float* out = frame + (corner.y + y) * size + corner.x;
    for (int64_t x = 0; x < n; ++x) out[x] = (1 - alpha[y * n + x]) * out[x] + alpha[y * n + x];
  }
}

}  // namespace

void visit_fields(FieldVisitor& v, MovingDigitsConfig& c) {
  std::vector<std::string> names;
  for (const Motion& motion : motions()) names.emplace_back(motion.name);
  visit(v, Field("source", "mnist: the files of the data folder; shipped: the thousand test digits in the repository").one_of({"mnist", "shipped"}), c.source);
  visit(v, Field("split", "train, test: clips of digits that the other split does not have").one_of({"train", "test"}), c.split);
  visit(v, Field("frames", "frames of a clip").between(1, 1024), c.frames);
  visit(v, Field("size", "rows and columns of a frame").between(1, 1024), c.size);
  visit(v, Field("digit_size", "rows and columns of the digit").between(4, kDigitBox), c.digit_size);
  visit(v, Field("step", "pixels that the digit moves a frame").between(1, 1024), c.step);
  visit(v, Field("motions", "only these; empty: all eight").one_of(names), c.motions);
  visit(v, Field("digits", "only these; empty: all ten").between(0, 9), c.digits);
  visit(v, Field("texture_cells", "cells of the texture along each side; 0: black").between(0, 1024), c.texture_cells);
  visit(v, Field("texture_brightness", "cells are uniform in 0 .. this; the digit has 1").between(0, 1), c.texture_brightness);
}

void require_valid(const MovingDigitsConfig& c, const std::string& key) {
  MovingDigitsConfig as_read;  // ranges and choices are checked by reading
  from_json(to_json(c), key, as_read);
  check_input(c.size >= c.digit_size, "{}.size is {}, smaller than the digit ({}.digit_size {})", key, c.size, key, c.digit_size);
  const int64_t room = c.size - c.digit_size;
  check_input(room >= kFreeSteps * c.step,
              "{}.size is {}: the digit ({}) would leave the frame, since its first {} steps of {} pixels are straight; wanted a size of at least {}", key,
              c.size, c.digit_size, kFreeSteps, c.step, c.digit_size + kFreeSteps * c.step);
  check_input(room % c.step == 0, "{}.step is {}, but the digit has {} pixels to move in (size {} - digit_size {}), which is no multiple", key, c.step, room,
              c.size, c.digit_size);
  check_input(c.texture_cells == 0 || c.size % c.texture_cells == 0, "{}.texture_cells is {}, which does not divide the size {}", key, c.texture_cells, c.size);
}

MovingDigits::MovingDigits(const MovingDigitsConfig& config, uint64_t seed) : config_(config), seed_(seed) {
  require_valid(config);
  sprites_ = of_classes(load_sprites(config.source, config.split, config.digit_size), config.digits);
  sprites_.labels = sprites_.labels.contiguous();
  const int64_t* labels = sprites_.labels.const_data_ptr<int64_t>();
  labels_.assign(labels, labels + sprites_.labels.numel());
  for (const std::string& name : config.motions) motions_.push_back(motion_index(name));
  for (size_t i = 0; config.motions.empty() && i < motions().size(); ++i) motions_.push_back(static_cast<int64_t>(i));
  last_ = (config.size - config.digit_size) / config.step;
}

RandomStream MovingDigits::stream(int64_t index) const {
  check(index >= 0, "MovingDigits: clip {}, wanted 0 or more", index);
  return RandomStream(seed_, Purpose::kClip, static_cast<uint64_t>(index), config_.split == "test" ? 1 : 0);
}

ClipContent MovingDigits::draw_content(RandomStream& stream) const {
  ClipContent content;
  content.sprite = static_cast<int64_t>(stream.below(labels_.size()));
  content.digit = labels_[content.sprite];
  content.motion = motions_[stream.below(motions_.size())];
  content.start = draw_start(stream, motions()[content.motion], last_);
  return content;
}

ClipContent MovingDigits::content(int64_t index) const {
  RandomStream random = stream(index);
  return draw_content(random);
}

ClipContent MovingDigits::content(int64_t index, float* cells) const {
  RandomStream random = stream(index);
  const ClipContent content = draw_content(random);
  draw_cells(random, config_, cells);
  return content;
}

std::vector<GridPlace> MovingDigits::path(const ClipContent& content) const {
  return motion_path(motions()[content.motion], content.start, last_, config_.frames);
}

void MovingDigits::draw_clip(int64_t index, float* video, ClipContent& content) const {
  const int64_t size = config_.size, pixels = size * size, n = config_.digit_size;
  std::vector<float> cells(static_cast<size_t>(cells_a_side(config_) * cells_a_side(config_)));
  content = this->content(index, cells.data());
  put_texture(cells.data(), config_, video);
  for (int64_t f = 1; f < config_.frames; ++f) std::copy_n(video, pixels, video + f * pixels);
  const float* alpha = sprites_.alpha.const_data_ptr<float>() + content.sprite * n * n;
  for (const GridPlace& place : path(content)) {
    put_digit(alpha, n, {place.y * config_.step, place.x * config_.step}, size, video);
    video += pixels;
  }
}

Clips MovingDigits::clips(std::span<const int64_t> indices) const {
  const int64_t count = static_cast<int64_t>(indices.size()), frames = config_.frames, size = config_.size;
  for (const int64_t index : indices) check(index >= 0, "MovingDigits: clip {}, wanted 0 or more", index);
  Clips out{at::empty({count, 1, frames, size, size}, at::kFloat), at::empty({count}, at::kLong), at::empty({count}, at::kLong), {}};
  float* video = out.video.data_ptr<float>();
  std::vector<ClipContent> contents(indices.size());
  at::parallel_for(0, count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) draw_clip(indices[b], video + b * frames * size * size, contents[b]);
  });
  for (int64_t b = 0; b < count; ++b) {
    out.digit.data_ptr<int64_t>()[b] = contents[b].digit;
    out.motion.data_ptr<int64_t>()[b] = contents[b].motion;
    out.captions.push_back(clip_caption(contents[b].digit, contents[b].motion));
  }
  return out;
}

std::string clip_caption(int64_t digit, int64_t motion) {
  check(digit >= 0 && digit <= 9 && motion >= 0 && motion < static_cast<int64_t>(motions().size()), "clip_caption: digit {}, motion {}", digit, motion);
  return fmt::format("a {} moving {}", digit, motions()[motion].name);
}

ClipLabel clip_label(const std::string& caption) {
  for (int64_t digit = 0; digit <= 9; ++digit)
    for (int64_t motion = 0; motion < static_cast<int64_t>(motions().size()); ++motion)
      if (caption == clip_caption(digit, motion)) return {digit, motion};
  throw InputError(fmt::format("caption \"{}\": names no digit and motion; wanted the form \"{}\"", caption, clip_caption(3, 5)));
}

CaptionTable clip_caption_table() {
  std::vector<std::string> words = {"a", "moving"};
  for (int digit = 0; digit <= 9; ++digit) words.push_back(std::to_string(digit));
  for (const Motion& motion : motions()) words.emplace_back(motion.name);
  return CaptionTable(std::move(words), 4);
}

}  // namespace linden
