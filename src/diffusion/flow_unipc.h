// UniPC, the unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867), B(h) = e^h - 1 ("bh2"), predicting x0, on
// alpha = 1 - sigma: as Wan 2.1 samples. The convention of diffusers' UniPCMultistepScheduler (lower_order_final).
//
// m_i is x0 as predicted at x_i before correction, lambda = log(alpha / sigma), h = lambda_i - lambda_{i-1}, B = e^{-h} - 1,
//   base    = (sigma_i / sigma_{i-1}) x_{i-1} - alpha_i B m_{i-1}
//   predict = base - alpha_i B sum_k rho_k D_k             D_1 = (m_{i-2} - m_{i-1}) / r,  r = (lambda_{i-2} - lambda_{i-1}) / h
//   correct = the same with rho of one order more and the new D = m_i - m_{i-1}
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "diffusion/flow_sampler.h"

namespace linden {

struct UniPCStep {
  at::Tensor corrected;  // [B, ...] x_i
  at::Tensor next;       // [B, ...] x_{i+1}
  int64_t order = 0;     // of this step: the warm-up and the last step use 1
};
// x: [B, ...] as predicted for step i; clean: [B, ...] m_i.
UniPCStep unipc_step(const FlowSchedule& schedule, const FlowHistory& history, int64_t order, const at::Tensor& x, const at::Tensor& clean);

// lambda = log(alpha) - log(sigma), in fp32 as the reference; infinite at sigma = 0.
float flow_log_snr(float sigma);

}  // namespace linden
