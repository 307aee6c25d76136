// AdamW on flat buffers: one fused kernel a step on any device.
//   p <- p - lr wd p;  m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
//   p <- p - lr (m / (1-b1^s)) / (sqrt(v / (1-b2^s)) + eps)       (Loshchilov and Hutter 2019, alg. 2)
#pragma once

#include <ATen/core/Tensor.h>

#include "core/config.h"

namespace linden {

struct AdamWConfig {
  static constexpr const char* kType = "adamw";
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};
void visit_fields(FieldVisitor& v, AdamWConfig& c);

class AdamW {
 public:
  AdamW(const AdamWConfig& config, const at::Tensor& values);
  // Step number `step` (1, 2, ...) with the learning rate of that step. values, gradients: [P].
  void step(const at::Tensor& values, const at::Tensor& gradients, int64_t step, double learning_rate);
  // The same in two parts: what changes from step to step, and the arithmetic, which a CUDA graph may hold.
  void begin_step(int64_t step, double learning_rate);
  void apply(const at::Tensor& values, const at::Tensor& gradients);
  // On to the next step at the same rate, on the device: for several steps in one graph.
  void next_step();

  at::Tensor mean, variance;  // m, v: [P]

 private:
  AdamWConfig config_;
  at::Tensor step_, rate_;  // what the kernel reads: the bias correction's step, the learning rate
};

// Scales `gradients` so that their 2-norm is at most `maximum`; returns the norm before, a tensor on the
// device (no synchronisation). maximum 0: only measures.
at::Tensor clip_gradient_norm(const at::Tensor& gradients, double maximum);

}  // namespace linden
