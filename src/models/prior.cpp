#include "models/prior.h"

#include "core/error.h"
#include "models/closed_form.h"
#include "models/mlp_denoiser.h"
#include "models/network_predictor.h"
#include "models/scheduler_file.h"
#include "models/unet2d.h"

namespace linden {

void visit_fields(FieldVisitor& v, UNet2DPriorConfig& c) {
  visit(v, Field("folder", "model folder: config.json, weights, scheduler_config.json"), c.folder);
  visit(v, Field("weights", "folder (its weight file), or formula:SEED (the layout with weights from a formula)"),
        c.weights);
  visit(v, Field("dtype", "of the network's weights and activations: float32, bfloat16 or float16; the sampler's states stay float32")
               .one_of({"float32", "bfloat16", "float16"}),
        c.dtype);
}

void visit_fields(FieldVisitor& v, MlpPriorConfig& c) {
  visit(v, Field("folder", "model folder: config.json, weights, scheduler_config.json"), c.folder);
  visit(v, Field("weights", "folder (its weight file), or formula:SEED (the layout with weights from a formula)"),
        c.weights);
}

void visit_fields(FieldVisitor& v, GaussianMixturePriorConfig& c) {
  visit(v, Field("num_modes", "equal modes on a circle").between(1, 64), c.num_modes);
  visit(v, Field("radius", "radius of the circle").at_least(0), c.radius);
  visit(v, Field("sigma", "standard deviation of a mode").above(0), c.sigma);
  visit(v, Field("schedule", "noise schedule"), c.schedule);
}

void visit_fields(FieldVisitor& v, CheckerboardPriorConfig& c) {
  visit(v, Field("schedule", "noise schedule"), c.schedule);
}

namespace {

Prior load(const UNet2DPriorConfig& config, at::Device device) {
  check_input(!config.folder.empty(),
              "prior of type unet2d: folder is empty, wanted a model folder, for example "
              "configs/models/digits_unet with weights formula:0");
  NoiseSchedule schedule(read_scheduler_config(config.folder));
  const UNet2DPredictorOptions options{.dtype = config.dtype == "bfloat16"  ? at::kBFloat16
                                                : config.dtype == "float16" ? at::kHalf
                                                                            : at::kFloat,
                                       .num_timesteps = schedule.num_train_steps()};
  return {unet2d_predictor(load_unet2d(config.folder, config.weights), device, options), std::move(schedule)};
}

Prior load(const MlpPriorConfig& config, at::Device device) {
  check_input(!config.folder.empty(), "prior of type mlp: folder is empty, wanted a model folder");
  NoiseSchedule schedule(read_scheduler_config(config.folder));
  return {mlp_predictor(load_mlp_denoiser(config.folder, config.weights), device), std::move(schedule)};
}

Prior load(const GaussianMixturePriorConfig& config, at::Device device) {
  NoiseSchedule schedule(config.schedule);
  auto network = std::make_shared<GaussianMixture>(ring_of_modes(config.num_modes, config.radius, config.sigma),
                                                   schedule.alpha_bar, device);
  return {std::move(network), std::move(schedule)};
}

Prior load(const CheckerboardPriorConfig& config, at::Device device) {
  NoiseSchedule schedule(config.schedule);
  auto network = std::make_shared<Checkerboard>(schedule.alpha_bar, device);
  return {std::move(network), std::move(schedule)};
}

}  // namespace

Prior load_prior(const PriorConfig& config, at::Device device) {
  return std::visit([&](const auto& c) { return load(c, device); }, config);
}

}  // namespace linden
