// The two losses on the gates' scores r (LinVideo, arXiv 2510.08318, Eq. 9 and 10), the exponent's schedule, and the
// rectified sigmoid that r may be parametrised by. r = 1 keeps a layer's softmax, r = 0 makes it linear.
//
//   L_con = (#linear - target)^2,  #linear = sum_l (1 - round(r_l)),   d round(r)/dr := 1 (straight through)
//   L_reg = sum_l (1 - |2 r_l - 1|^alpha),                             alpha falls from 20 to 2
//
// The paper prints sum_l round(r_l), which counts the layers that stay; "target" is the number that is replaced. Both losses
// act on r whatever makes it; nothing here reads a tensor on the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/config.h"

namespace linden {

// r: [layers]. (#linear - num_linear)^2, a scalar; its gradient in every r is -2 (#linear - num_linear). r = 1/2 counts as linear.
at::Tensor count_constraint(const at::Tensor& r, int64_t num_linear);

// r: [layers] in 0..1; alpha: a scalar tensor >= 1 on r's device (a tensor, so that a captured graph follows its schedule).
// 0 where every r is 0 or 1, `layers` where every r is 1/2. Its gradient in r is -2 alpha |2r-1|^(alpha-1) sign(2r-1): finite
// everywhere, 0 at r = 1/2.
at::Tensor decisiveness(const at::Tensor& r, const at::Tensor& alpha);

struct AlphaScheduleConfig {
  std::string shape = "linear";  // linear: from start to end; fixed: start
  double start = 20;
  double end = 2;     // 1: a push that does not fade near r = 1/2
  double warmup = 0;  // share of the schedule in which L_reg is off and alpha stays at start
};
void visit_fields(FieldVisitor& v, AlphaScheduleConfig& c);

// progress: share of the schedule that is done, clamped to 0..1 (BRECQ's linear temperature decay: yhhhli/BRECQ, quant/block_recon.py).
double alpha_at(const AlphaScheduleConfig& config, double progress);
// What L_reg is multiplied by: 0 in the warm-up, else 1.
double regulariser_on(const AlphaScheduleConfig& config, double progress);

// AdaRound's r of a free number v (Nagel et al. 2020, Eq. 23): clip(sigmoid(v) (zeta - gamma) + gamma, 0, 1), gamma = -0.1,
// zeta = 1.1. v: any shape. On the clip v gets no gradient.
at::Tensor rectified_sigmoid(const at::Tensor& v);
// The v of r0 in 0..1: -ln((zeta - gamma)/(r0 - gamma) - 1). 0 and 1 give the edge of the clip.
double inverse_rectified_sigmoid(double r0);

}  // namespace linden
