#include "ops/rms_norm_rotary.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "core/error.h"
#include "ops/linear_attention_kernels.h"
#include "ops/rms_norm_rotary_kernel.h"

namespace linden {
namespace {

constexpr double kRotaryBase = 10000;

// x: [B, N, H, D]; (x_0, x_1) -> (x_0 cos - x_1 sin, x_0 sin + x_1 cos) for each interleaved pair. sign -1: the inverse.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, int sign) {
  if (!cos.defined()) return x;
  const at::Tensor pairs = x.unflatten(-1, {-1, 2}), even = pairs.select(-1, 0), odd = pairs.select(-1, 1);    // [B, N, H, D/2]
  const at::Tensor c = cos.to(x.scalar_type()).unsqueeze(1), s = sin.to(x.scalar_type()).unsqueeze(1) * sign;  // [N, 1, D/2]
  return at::stack({even * c - odd * s, even * s + odd * c}, -1).flatten(-2);
}

at::Tensor inverse_rms(const at::Tensor& x, double eps) { return (x * x).mean(-1, true).add_(eps).rsqrt_(); }  // [B, N, 1]

class RmsNormRotaryFunction : public torch::autograd::Function<RmsNormRotaryFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t num_heads,
                            const std::optional<RotaryTable>& table, double eps) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [cos, sin] = table.value_or(RotaryTable{});
    context->save_for_backward({x, weight, cos, sin});
    context->saved_data["num_heads"] = num_heads;
    context->saved_data["eps"] = eps;
    if (const auto out = rms_norm_rotary_kernel(x, weight, num_heads, {cos, sin}, eps)) return *out;
    const at::Tensor wide = x.to(accumulator_type(x.scalar_type()));
    const at::Tensor normed = wide * inverse_rms(wide, eps) * weight.to(wide.scalar_type());
    return rotate(normed.unflatten(-1, {num_heads, -1}), cos, sin, 1).to(x.scalar_type()).contiguous();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    check(!at::GradMode::is_enabled(), "rms_norm_rotary: there is no second derivative; call backward without create_graph");
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const double eps = context->saved_data["eps"].toDouble();
    if (const auto grad = rms_norm_rotary_kernel_backward(grads[0], x, weight, {saved[2], saved[3]}, eps, context->needs_input_grad(1)))
      return {grad->x, grad->weight, {}, {}, {}};
    const at::ScalarType type = accumulator_type(x.scalar_type());
    const at::Tensor wide = x.to(type), rstd = inverse_rms(wide, eps);
    const at::Tensor normed = wide * rstd;                                                  // xh [B, N, M]
    const at::Tensor grad = rotate(grads[0].to(type), saved[2], saved[3], -1).flatten(-2);  // g [B, N, M]
    const at::Tensor grad_weight = (grad * normed).sum(at::IntArrayRef{0, 1}).to(weight.scalar_type());
    const at::Tensor weighted = grad * weight.to(type);
    const at::Tensor grad_x = rstd * (weighted - normed * (weighted * normed).mean(-1, true));
    return {grad_x.to(x.scalar_type()), grad_weight, {}, {}, {}};
  }
};

}  // namespace

std::array<int64_t, 3> rotary_axis_dims(int64_t head_dim) {
  check(head_dim >= 6 && head_dim % 2 == 0, "rotary embedding: head dim is {}, wanted an even number from 6 on", head_dim);
  const int64_t side = 2 * (head_dim / 6);
  return {head_dim - 2 * side, side, side};
}

RotaryTable make_rotary_table(std::array<int64_t, 3> grid, int64_t head_dim, at::ScalarType dtype, at::Device device) {
  check(grid[0] > 0 && grid[1] > 0 && grid[2] > 0, "rotary embedding: the grid is [{}, {}, {}], wanted frames, rows and columns from 1 on", grid[0], grid[1],
        grid[2]);
  const std::array<int64_t, 3> dims = rotary_axis_dims(head_dim);
  std::vector<at::Tensor> angles;  // of each axis: [F, Y, X, m/2]
  for (size_t axis = 0; axis < 3; ++axis) {
    const at::Tensor exponents = at::arange(0, dims[axis], 2, at::kDouble) / static_cast<double>(dims[axis]);
    std::vector<int64_t> shape = {1, 1, 1, 1};
    shape[axis] = grid[axis];
    const at::Tensor positions = at::arange(grid[axis], at::kDouble).view(shape);
    angles.push_back((positions * at::pow(kRotaryBase, exponents.neg())).expand({grid[0], grid[1], grid[2], dims[axis] / 2}));
  }
  const at::Tensor all = at::cat(angles, -1).flatten(0, 2);  // [N, D/2]
  return {all.cos().to(device, dtype), all.sin().to(device, dtype)};
}

at::Tensor rms_norm_rotary(const at::Tensor& x, const at::Tensor& weight, int64_t num_heads, const RotaryTable& table, double eps) {
  check(x.dim() == 3, "rms_norm_rotary: x has shape {}, wanted rank 3 [B, N, M]", x.sizes());
  const int64_t N = x.size(1), M = x.size(2);
  check(num_heads > 0 && M % num_heads == 0, "rms_norm_rotary: width {} does not split into {} heads", M, num_heads);
  check(weight.dim() == 1 && weight.size(0) == M, "rms_norm_rotary: weight has shape {}, wanted [M] = [{}]", weight.sizes(), M);
  check(weight.device() == x.device(), "rms_norm_rotary: weight is on {}, wanted x's device {}", weight.device().str(), x.device().str());
  check(table.cos.defined() == table.sin.defined(), "rms_norm_rotary: the table has only one of cos and sin");
  if (table.cos.defined()) {
    const std::vector<int64_t> wanted = {N, M / num_heads / 2};
    check(table.cos.sizes() == wanted && table.sin.sizes() == wanted, "rms_norm_rotary: the table has shapes {} and {}, wanted [N, D/2] = [{}, {}]",
          table.cos.sizes(), table.sin.sizes(), wanted[0], wanted[1]);
    check(table.cos.device() == x.device(), "rms_norm_rotary: the table is on {}, wanted x's device {}", table.cos.device().str(), x.device().str());
  }
  return RmsNormRotaryFunction::apply(x, weight, num_heads, table.cos.defined() ? std::optional(table) : std::nullopt, eps);
}

}  // namespace linden
