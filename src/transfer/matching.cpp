#include "transfer/matching.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <tuple>

#include "core/error.h"
#include "diffusion/flow_path.h"

namespace linden {
namespace {

constexpr double kSmallestDivisor = 1e-6;  // under dmd_norm and relative errors: a sample of all zeros stays finite

at::Tensor as_rows(const at::Tensor& per_sample, const at::Tensor& x) {  // [B] -> [B, 1, ...]
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return per_sample.to(x.scalar_type()).view(shape);
}

at::Tensor mean_of_sample(const at::Tensor& x) { return x.flatten(1).mean(1); }  // [B, ...] -> [B]

void check_rows(const at::Tensor& t, const char* name, const at::Tensor& x) {
  check(t.defined() && t.dim() == 1 && t.size(0) == x.size(0), "matching: {} has {} values, wanted one for each of the {} samples", name,
        t.defined() ? t.numel() : 0, x.size(0));
}

void check_like(const at::Tensor& t, const char* name, const at::Tensor& x) {
  check(t.defined(), "matching: draw.{} is missing, and this objective reads it", name);
  check(t.sizes() == x.sizes(), "matching: {} has {} elements in {} dimensions, x_t' has {} in {}", name, t.numel(), t.dim(), x.numel(), x.dim());
}

void check_draw(const MatchingDraw& draw) {
  check(draw.x.defined() && draw.x.dim() >= 2, "matching: draw.x wanted [B, ...]");
  check_rows(draw.sigma, "sigma", draw.x);
  check_rows(draw.lower, "lower", draw.x);
}

at::Tensor ask(const VelocityAt& network, const char* name, const at::Tensor& x, const at::Tensor& sigma) {
  check(static_cast<bool>(network), "matching: the objective needs the network \"{}\", which is empty", name);
  const at::Tensor velocity = network(x, sigma).to(x.scalar_type());
  check(velocity.sizes() == x.sizes(), "matching: the velocity of \"{}\" has {} elements, x has {}", name, velocity.numel(), x.numel());
  return velocity;
}

at::Tensor ask_frozen(const VelocityAt& network, const char* name, const at::Tensor& x, const at::Tensor& sigma) {
  const at::NoGradGuard no_grad;
  return ask(network, name, x, sigma);
}

at::Tensor relative_error(const at::Tensor& student, const at::Tensor& teacher) {  // [B]
  return mean_of_sample((student.detach() - teacher).square()) / mean_of_sample(teacher.square()).clamp_min(kSmallestDivisor);
}

// 1/2 mean gradient^2 with d/dvalue = gradient / n: what 1/2 mean |value - sg[value - gradient]|^2 is, without its cancellation.
at::Tensor loss_with_gradient(const at::Tensor& value, const at::Tensor& gradient) {
  return ((value - value.detach()) * gradient + 0.5 * gradient.square()).mean();
}

at::Tensor euler_step(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& from, const at::Tensor& to) {
  return x + as_rows(to - from, x) * velocity;
}

at::Tensor kl_weight(const at::Tensor& from, const at::Tensor& to) { return (from - to) * (1 - to) / to; }  // [B]

MatchingParts match(const MseMatchingConfig& c, const FlowTimes&, const MatchingNetworks& networks, const MatchingDraw& draw) {
  if (c.target == "stored") check_like(draw.velocity, "velocity", draw.x);
  const at::Tensor teacher = c.target == "stored" ? draw.velocity.to(draw.x.scalar_type()) : ask_frozen(networks.teacher, "teacher", draw.x, draw.sigma);
  const at::Tensor student = ask(networks.student, "student", draw.x, draw.sigma);
  return {0.5 * (student - teacher).square().mean(), relative_error(student, teacher), draw.sigma, student.detach()};
}

MatchingParts match(const AdmConfig& c, const FlowTimes& times, const MatchingNetworks& networks, const MatchingDraw& draw) {
  const bool renoise = c.reading == "renoise";
  const at::Tensor weight_time = matching_time(c, times, draw);  // t, but for rows that are matched where they are
  const at::Tensor t = c.match_last_step ? at::where(draw.next_sigma <= 0, draw.sigma, weight_time) : weight_time;
  const at::Tensor student = ask(networks.student, "student", draw.x, draw.sigma), velocity = student.detach();
  const at::Tensor clean = flow_clean(draw.x, velocity, draw.sigma);
  if (renoise) check_like(draw.noise, "noise", draw.x);
  const at::Tensor point = renoise ? flow_interpolate(clean, draw.noise, t) : euler_step(draw.x, velocity, draw.sigma, t);

  const at::Tensor teacher = ask_frozen(networks.teacher, "teacher", point, t);
  const at::Tensor score = c.score == "self" ? ask_frozen(networks.student, "student", point, t) : ask_frozen(networks.score, "score", point, t);
  at::Tensor error = teacher - score;  // (u - u^)(x^_t, t)
  at::Tensor start_error;              // (u - u^)(x_t', t')
  if (c.anchor > 0 || c.both_ends) start_error = ask_frozen(networks.teacher, "teacher", draw.x, draw.sigma) - velocity;
  if (c.both_ends) error = 0.5 * (error + start_error);

  if (c.normalisation != "unit") {
    at::Tensor weight = renoise ? (1 - weight_time).square() / weight_time * draw.sigma : kl_weight(draw.sigma, weight_time);
    if (c.normalisation == "dmd_norm") weight = weight / mean_of_sample((clean - flow_clean(point, teacher, t)).abs()).clamp_min(kSmallestDivisor);
    error = as_rows(weight, error) * error;
  }
  at::Tensor loss = loss_with_gradient(student, -error);
  if (c.anchor > 0) loss = loss + c.anchor * loss_with_gradient(student, -start_error);
  return {loss, relative_error(score, teacher), t, velocity};
}

MatchingParts match(const OnPolicyMatchingConfig& c, const FlowTimes& times, const MatchingNetworks& networks, const MatchingDraw& draw) {
  const at::Tensor weight_time = matching_time(c, times, draw);
  // Half a gap below the first level stands for "at the first level".
  const at::Tensor t = c.match_first_step ? at::where(draw.sigma > 0.5 * (times.sigma[0] + times.sigma[1]), draw.sigma, weight_time) : weight_time;
  const at::Tensor velocity = ask_frozen(networks.student, "student", draw.x, draw.sigma);
  const at::Tensor point = euler_step(draw.x, velocity, draw.sigma, t);
  const at::Tensor teacher = ask_frozen(networks.teacher, "teacher", point, t);
  const at::Tensor student = ask(networks.student, "student", point, t);
  at::Tensor squares = (student - teacher).square();
  if (c.weight == "kl") squares = as_rows(kl_weight(draw.sigma, weight_time), squares) * squares;
  return {0.5 * squares.mean(), relative_error(student, teacher), t, velocity};
}

// A point of the student's distribution at a drawn time, and what made it.
struct Renoised {
  at::Tensor time, clean, point;  // [B], [B, ...], [B, ...]
};

Renoised renoise(const DmdMatchingConfig& c, const MatchingDraw& draw, const at::Tensor& velocity) {
  check_like(draw.noise, "noise", draw.x);
  const at::Tensor u = draw.lower;
  const at::Tensor time = (c.shift * u / (1 + (c.shift - 1) * u)).clamp(c.clamp_low, c.clamp_high);
  const at::Tensor clean = flow_clean(draw.x, velocity, draw.sigma);
  return {time, clean, flow_interpolate(clean, draw.noise, time)};
}

MatchingParts match(const DmdMatchingConfig& c, const FlowTimes&, const MatchingNetworks& networks, const MatchingDraw& draw) {
  const at::Tensor student = ask(networks.student, "student", draw.x, draw.sigma), velocity = student.detach();
  const auto [t, clean, point] = renoise(c, draw, velocity);
  const at::Tensor teacher = ask_frozen(networks.teacher, "teacher", point, t), critic = ask_frozen(networks.score, "score", point, t);
  const at::Tensor teacher_clean = flow_clean(point, teacher, t);
  const at::Tensor divisor = mean_of_sample((clean - teacher_clean).abs()).clamp_min(kSmallestDivisor);
  const at::Tensor gradient = (flow_clean(point, critic, t) - teacher_clean) / as_rows(divisor, point);
  return {loss_with_gradient(flow_clean(draw.x, student, draw.sigma), gradient), relative_error(critic, teacher), t, velocity};
}

}  // namespace

FlowTimes flow_times(const FlowSchedule& schedule, at::Device device) { return {at::tensor(schedule.sigma, at::kFloat).to(device)}; }

at::Tensor matching_time(const MatchingTimeConfig& c, const FlowTimes& times, const MatchingDraw& draw) {
  check_rows(draw.next_sigma, "next_sigma", draw.x);
  at::Tensor t;
  if (c.time == "lower_solver_time") {
    const at::Tensor middle = 0.5 * (draw.sigma + draw.next_sigma);                    // no level lies on it
    const at::Tensor first = (times.sigma.unsqueeze(0) > middle.unsqueeze(1)).sum(1);  // [B] index of the next level
    const at::Tensor count = times.sigma.size(0) - first;
    const at::Tensor chosen = first + (draw.lower * count).floor().to(at::kLong).minimum(count - 1);
    t = times.sigma.index_select(0, chosen.clamp_max(times.sigma.size(0) - 1));
  } else {
    const at::Tensor step = (draw.next_sigma - draw.sigma) / static_cast<double>(c.substeps);
    t = draw.sigma + (c.time == "within_step" ? draw.lower * step : step);
  }
  return t.clamp(c.clamp_low, c.clamp_high).minimum(draw.sigma);
}

MatchingParts matching_loss(const MatchingConfig& config, const FlowTimes& times, const MatchingNetworks& networks, const MatchingDraw& draw) {
  check_draw(draw);
  return std::visit([&](const auto& c) { return match(c, times, networks, draw); }, config);
}

at::Tensor critic_loss(const DmdMatchingConfig& config, const MatchingNetworks& networks, const MatchingDraw& draw) {
  check_draw(draw);
  const auto [t, clean, point] = renoise(config, draw, ask_frozen(networks.student, "student", draw.x, draw.sigma));
  return 0.5 * (ask(networks.score, "score", point, t) - (draw.noise - clean)).square().mean();
}

}  // namespace linden
