// How a student's velocity is brought to the teacher's: the choices of matching.h, and what each costs.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "core/config.h"

namespace linden {

// Which lower time t belongs to a state at the solver time t'. Every t is clamped to clamp_low..clamp_high and never above t'.
struct MatchingTimeConfig {
  std::string time = "next";  // next: the next solver time; within_step: uniform between t' and it; lower_solver_time: any later one
  int64_t substeps = 1;       // next and within_step: t lies within 1/substeps of the solver step
  double clamp_low = 0.02;    // as the public DMD codes do; t = 0 has no score
  double clamp_high = 0.98;
};

// Velocity matching at (x_t', t') (LinVideo Eq. 7).
struct MseMatchingConfig {
  static constexpr const char* kType = "mse";
  std::string target = "teacher";  // teacher: asked at (x_t', t'); stored: the velocity that the trajectory was made with
};

// Anytime distribution matching (LinVideo Eq. 11-13).
struct AdmConfig : MatchingTimeConfig {
  static constexpr const char* kType = "adm";
  std::string reading = "solver_step";  // how x^_t follows from the student's velocity; renoise: through x^_0 and new noise
  std::string normalisation = "raw";    // raw: Eq. 13; dmd_norm: over mean |x^_0 - x_0 of the teacher|; unit: weight 1
  std::string score = "self";           // whose velocity is the student's score: self, ema, extra (a trained network)
  double anchor = 0;                    // weight of a velocity match at (x_t', t')
  bool both_ends = false;               // the error is the mean of those at (x_t', t') and (x^_t, t)
  bool match_last_step = false;         // a state of the last solver step is matched where it is: t = t'
};

// The student with gradient at the point that one step of its own leads to.
struct OnPolicyMatchingConfig : MatchingTimeConfig {
  static constexpr const char* kType = "on_policy";
  std::string weight = "unit";    // unit, or kl: |t - t'| (1-t)/t, ADM's raw weight
  bool match_first_step = false;  // a state of the first solver time is matched where it is: t = t'
};

// Distribution matching distillation (Yin et al. 2024): the student's x_0 against the teacher's and a critic's scores.
struct DmdMatchingConfig {
  static constexpr const char* kType = "dmd";
  double shift = 1;  // t = shift_sigma(uniform, shift), clamped
  double clamp_low = 0.02, clamp_high = 0.98;
};

using MatchingConfig = std::variant<MseMatchingConfig, AdmConfig, OnPolicyMatchingConfig, DmdMatchingConfig>;
void visit_fields(FieldVisitor& v, MseMatchingConfig& c);
void visit_fields(FieldVisitor& v, AdmConfig& c);
void visit_fields(FieldVisitor& v, OnPolicyMatchingConfig& c);
void visit_fields(FieldVisitor& v, DmdMatchingConfig& c);
// ConfigError that names keys which contradict each other, as keys of `prefix` ("matching").
void require_consistent(const MatchingConfig& config, const std::string& prefix);

// Forward passes of one matching_loss, each over the whole batch.
struct MatchingCalls {
  int64_t student_with_gradient = 0, student = 0, score = 0, teacher = 0;  // score: of a network of its own (ema, extra, critic)
  bool needs_noise = false;                                                // MatchingDraw::noise is read
  bool needs_critic = false;                                               // the score network is trained beside the student, by critic_loss
};
MatchingCalls matching_calls(const MatchingConfig& config);

}  // namespace linden
