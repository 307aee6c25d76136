#include "data/training_set.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "data/digits.h"
#include "diffusion/noise_schedule.h"
#include "models/closed_form.h"

namespace linden {
namespace {

// The points are drawn from streams of another seed than the order in which a run reads them.
constexpr uint64_t kPointSeedOffset = 1000003;

at::Tensor draw_points(const ClosedFormPrior& prior, int64_t count, uint64_t seed) { return prior.sample(count, seed + kPointSeedOffset); }

TrainingSet load_mnist(const MnistData& config) {
  Digits digits = load_digits(config.split);
  const int64_t available = digits.images.size(0);
  check_input(config.num_examples <= available, "data.num_examples is {}, but the MNIST split \"{}\" holds {} (0: all)", config.num_examples,
              config.split, available);
  const int64_t count = config.num_examples > 0 ? config.num_examples : available;
  return {digits.images.slice(0, 0, count), digits.labels.slice(0, 0, count)};
}

}  // namespace

void visit_fields(FieldVisitor& v, MnistData& c) {
  visit(v, Field("split", "train: the 60,000 of the data folder; shipped: the thousand test digits in the repository").one_of({"train", "shipped"}), c.split);
  visit(v, Field("num_examples", "only the first so many; 0: all").at_least(0), c.num_examples);
}
void visit_fields(FieldVisitor& v, GaussianMixtureData& c) {
  visit(v, Field("num_examples", "exact draws, by the seed").between(1, 1e8), c.num_examples);
}
void visit_fields(FieldVisitor& v, CheckerboardData& c) {
  visit(v, Field("num_examples", "exact draws, by the seed").between(1, 1e8), c.num_examples);
}

TrainingSet load_training_set(const DataConfig& config, uint64_t seed) {
  if (const auto* mnist = std::get_if<MnistData>(&config)) return load_mnist(*mnist);
  const std::vector<double> alpha_bar = NoiseSchedule(NoiseScheduleConfig{}).alpha_bar;
  if (const auto* mixture = std::get_if<GaussianMixtureData>(&config))
    return {draw_points(GaussianMixture(ring_of_modes(), alpha_bar), mixture->num_examples, seed), {}};
  return {draw_points(Checkerboard(alpha_bar), std::get<CheckerboardData>(config).num_examples, seed), {}};
}

TrainingSet load_test_set(const MnistData& config) {
  const Digits digits = load_digits(config.split == "train" ? "test" : config.split);
  return {digits.images, digits.labels};
}

std::string data_type(const DataConfig& config) {
  return std::visit([](const auto& c) { return std::string(c.kType); }, config);
}
std::vector<int64_t> example_shape(const DataConfig& config) {
  if (std::holds_alternative<MnistData>(config)) return {1, 32, 32};
  return {2};
}
bool has_labels(const DataConfig& config) { return std::holds_alternative<MnistData>(config); }

}  // namespace linden
