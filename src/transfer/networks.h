// Student, teacher and score as functions of (x, sigma), for captions that stand in a buffer.
#pragma once

#include <ATen/core/Tensor.h>

#include "diffusion/guidance.h"
#include "models/video_dit.h"
#include "transfer/matching.h"

namespace linden {

// Captions of the examples at hand: [B, L, D]; none [1, L, D] is that of no caption.
struct CaptionBatch {
  at::Tensor text, none;
};

// The velocity under the captions, fp32; guided where `guidance` is given. The captions are read at each call. Under autocast
// a call without gradient leaves no cast weights behind, which a call with gradient would take for its own.
VelocityAt velocity_of(VideoDit network, const CaptionBatch& captions, const GuidanceConfig* guidance);

// Mean over the points of |student - teacher|^2 / |teacher|^2. x: [P, ...]; sigma: [P]; captions of the P points.
double velocity_gap(VideoDit student, VideoDit teacher, const at::Tensor& x, const at::Tensor& sigma, const CaptionBatch& captions);

}  // namespace linden
