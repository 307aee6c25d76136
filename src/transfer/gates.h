// The student of a transfer: the teacher's network with a gate in every layer that may become linear, and the gates' scores r.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models/video_dit.h"
#include "train/adamw.h"
#include "transfer/gate_config.h"
#include "transfer/gate_losses.h"

namespace linden {

// A copy of `teacher` (all softmax, on the CPU, fp32) whose self-attention is gated in the layers that may become linear: the teacher's
// weights, a fresh linear mixer, r = 1. Its output is the teacher's, bit for bit. Throws InputError: the teacher has linear or gated
// layers already.
VideoDit convert_attention(VideoDit teacher, const FeatureMapConfig& feature_map, const std::vector<bool>& allowed);
// The finished student on the CPU: `linear` layers linear, the others softmax, weights by name; what a layer does not run is dropped.
VideoDit without_gates(VideoDit gated, const std::vector<int64_t>& linear);
// Copies every parameter of `to` that `from` has too, by name, whatever the devices.
void copy_parameters(VideoDit from, VideoDit to);
// Whether the name is that of a gate, which the scores below train and the optimiser of the weights leaves alone.
bool is_gate(const std::string& parameter_name);

// One r a gated layer, at one address, with an optimiser of their own (Adam, betas 0.9 and 0.95).
class GateScores {
 public:
  // The gates of `student` become views of r. The student lies on its device.
  GateScores(const GateConfig& config, const AlphaScheduleConfig& alpha, VideoDit student);

  const std::vector<int64_t>& layers() const { return layers_; }  // of the network, rising
  // What changes from step to step: 1, 2, ...; progress: share of the way to the commit.
  void begin_step(int64_t step, double progress);
  void clear_gradient() { gradient.zero_(); }
  // After backward() has left the matching loss's gradient: adds both gate losses' and moves r. Device work alone.
  void apply();
  // The num_linear smallest r, as layers of the network, rising. Reads r.
  std::vector<int64_t> smallest(int64_t count) const;

  at::Tensor r, gradient;                        // [G]: scores; gradient of the matching loss
  at::Tensor grad_constraint, grad_regulariser;  // [G] of the last step, weights included
  at::Tensor constraint, regulariser;            // scalars: the two losses, without lambda
  // What a checkpoint keeps beside r.
  at::Tensor free, mean, variance;  // [G]: what is trained (r itself or the sigmoid's v) and its moments

 private:
  GateConfig config_;
  AlphaScheduleConfig alpha_schedule_;
  std::vector<int64_t> layers_;
  AdamW optimizer_;
  at::Tensor alpha_, regulariser_on_;  // scalars on the device
};

}  // namespace linden
