// Moving digits on any device: what a clip shows is drawn once, its pixels by tensor operations whenever it is asked for.
// A clip's content takes some 300 bytes, its pixels 4 kB a frame, so a million clips fit on a card; the pixels are equal,
// bit for bit, to those of MovingDigits.
#pragma once

#include <ATen/core/Tensor.h>

#include "data/moving_digits.h"

namespace linden {

class ClipBank {
 public:
  // Clips 0 .. count - 1 of the set, on the CPU.
  ClipBank(const MovingDigits& set, int64_t count);
  ClipBank to(at::Device device) const;

  int64_t size() const { return digit.size(0); }
  const MovingDigitsConfig& config() const { return config_; }

  // rows: [B] int64 on the bank's device. Nothing here waits for the device. Returns [B, 1, F, Y, X] fp32 in [-1, 1].
  at::Tensor clips(const at::Tensor& rows) const;
  // The same of the frames frame[b] .. frame[b] + count - 1 alone; frame: [B] int64. [B, 1, count, Y, X]
  at::Tensor clips(const at::Tensor& rows, const at::Tensor& frame, int64_t count) const;
  // Which of motions() the digit makes between frame[b] and the next one, reflections included. [B] int64
  at::Tensor steps(const at::Tensor& rows, const at::Tensor& frame) const;

  at::Tensor digit, motion;  // [S] int64
  at::Tensor captions;       // [S, L] int64: clip_caption_table()'s ids

 private:
  ClipBank() = default;
  at::Tensor places(const at::Tensor& rows, const at::Tensor& frames) const;

  MovingDigitsConfig config_;
  int64_t last_ = 0;
  at::Tensor sprites_;      // [K, n, n]
  at::Tensor sprite_;       // [S] int64
  at::Tensor start_;        // [S, 2] int16: y, x in steps
  at::Tensor direction_;    // [8, 2] int64: dy, dx of motions()
  at::Tensor step_motion_;  // [3, 3] int64: the place in motions() of (dy + 1, dx + 1)
  at::Tensor cells_;        // [S, cells, cells] fp32
};

}  // namespace linden
