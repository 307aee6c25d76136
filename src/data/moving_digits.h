// Moving digits: clips with captions, made when they are asked for. A handwritten digit moves in one of eight directions,
// is reflected at the border, and lies over a texture that stays: what it uncovers has to be remembered.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config.h"
#include "models/caption_table.h"
#include "data/digit_motion.h"
#include "data/digit_sprites.h"

namespace linden {

class RandomStream;

struct MovingDigitsConfig {
  static constexpr const char* kType = "moving_digits";
  std::string source = "mnist";
  std::string split = "train";
  int64_t frames = 8;
  int64_t size = 32;                 // rows and columns of a frame
  int64_t digit_size = 16;           // rows and columns of the digit
  int64_t step = 4;                  // pixels a frame
  std::vector<std::string> motions;  // these only; empty: all eight
  std::vector<int64_t> digits;       // these only; empty: all ten
  int64_t texture_cells = 8;         // along each side; 0: black
  double texture_brightness = 0.4;   // of the brightest possible cell; the digit has 1
};
void visit_fields(FieldVisitor& v, MovingDigitsConfig& c);

// InputError: a value out of range, a frame too small for the digit's path, steps or texture cells that do not divide the
// frame, an unknown motion. `key` is where the config stands in messages ("data").
void require_valid(const MovingDigitsConfig& config, const std::string& key = "data");

// What a clip shows, without its pixels.
struct ClipContent {
  int64_t sprite = 0;  // row of the split's sprites
  int64_t digit = 0;   // 0 .. 9
  int64_t motion = 0;  // place in motions()
  GridPlace start;     // in steps
  bool operator==(const ClipContent&) const = default;
};

struct Clips {
  at::Tensor video;                   // [B, C = 1, F, Y, X] fp32 in [-1, 1]
  at::Tensor digit;                   // [B] int64, 0 .. 9
  at::Tensor motion;                  // [B] int64, place in motions()
  std::vector<std::string> captions;  // [B] "a 3 moving up-left"
};

class MovingDigits {
 public:
  // Loads the digits. Clip `index` is a function of the config but for `frames`, of the seed and of the index: it does
  // not depend on its batch or the number of threads, and a shorter clip is the beginning of a longer one. The two
  // splits share no digit and no random numbers. InputError: as require_valid and load_digits.
  MovingDigits(const MovingDigitsConfig& config, uint64_t seed);

  ClipContent content(int64_t index) const;
  // The same with the cells of the texture as they are shown, in [-1, 1]: writes max(1, texture_cells)^2 values.
  ClipContent content(int64_t index, float* cells) const;
  int64_t last_place() const { return last_; }                    // a digit's places along each side: 0 .. last_place()
  std::vector<GridPlace> path(const ClipContent& content) const;  // [F] in steps
  Clips clips(std::span<const int64_t> indices) const;

  const MovingDigitsConfig& config() const { return config_; }
  const DigitSprites& sprites() const { return sprites_; }

 private:
  RandomStream stream(int64_t index) const;
  ClipContent draw_content(RandomStream& stream) const;
  void draw_clip(int64_t index, float* video, ClipContent& content) const;  // video: [F, Y, X]

  MovingDigitsConfig config_;
  uint64_t seed_;
  DigitSprites sprites_;
  std::vector<int64_t> labels_;   // [S] of the sprites
  std::vector<int64_t> motions_;  // places in motions() to choose from
  int64_t last_;                  // places a side: 0 .. last_
};

// "a 3 moving up-left".
std::string clip_caption(int64_t digit, int64_t motion);
// And back. InputError: no caption of that form.
struct ClipLabel {
  int64_t digit = 0, motion = 0;
};
ClipLabel clip_label(const std::string& caption);
// The words of these captions (a, moving, ten digits, eight motions), four a caption.
CaptionTable clip_caption_table();

}  // namespace linden
