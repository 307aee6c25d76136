#include "train/adamw.h"

#include <ATen/ATen.h>

namespace linden {

void visit_fields(FieldVisitor& v, AdamWConfig& c) {
  visit(v, Field("learning_rate", "peak learning rate, after warm-up").above(0), c.learning_rate);
  visit(v, Field("beta1", "decay of the gradient's running mean").between(0, 0.999999), c.beta1);
  visit(v, Field("beta2", "decay of the squared gradient's running mean").between(0, 0.999999), c.beta2);
  visit(v, Field("epsilon", "added to the root of the second moment").above(0), c.epsilon);
  visit(v, Field("weight_decay", "decoupled weight decay").at_least(0), c.weight_decay);
}

AdamW::AdamW(const AdamWConfig& config, const at::Tensor& values)
    : mean(at::zeros_like(values)),
      variance(at::zeros_like(values)),
      config_(config),
      step_(at::zeros({}, values.options())),
      rate_(at::zeros({}, values.options().dtype(values.is_cuda() ? at::kFloat : at::kDouble))) {}

void AdamW::step(const at::Tensor& values, const at::Tensor& gradients, int64_t step, double learning_rate) {
  begin_step(step, learning_rate);
  apply(values, gradients);
}

void AdamW::begin_step(int64_t step, double learning_rate) {
  step_.fill_(static_cast<double>(step));
  rate_.fill_(learning_rate);
}

void AdamW::next_step() { step_.add_(1); }

void AdamW::apply(const at::Tensor& values, const at::Tensor& gradients) {
  at::_fused_adamw_({values}, {gradients}, {mean}, {variance}, {}, {step_}, rate_, config_.beta1, config_.beta2, config_.weight_decay, config_.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false);
}

at::Tensor clip_gradient_norm(const at::Tensor& gradients, double maximum) {
  const at::Tensor norm = at::linalg_vector_norm(gradients);
  if (maximum > 0) gradients.mul_((maximum / (norm + 1e-6)).clamp_max_(1.0));
  return norm;
}

}  // namespace linden
