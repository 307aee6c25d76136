#include "models/prior.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "diffusion/flow_denoiser.h"
#include "models/closed_form.h"
#include "models/mlp_denoiser.h"
#include "models/network_predictor.h"
#include "models/scheduler_file.h"
#include "models/unet2d.h"
#include "models/video_model.h"

namespace linden {

void visit_fields(FieldVisitor& v, UNet2DPriorConfig& c) {
  visit(v, Field("folder", "model folder: config.json, weights, scheduler_config.json"), c.folder);
  visit(v, Field("weights", "folder (its weight file), or formula:SEED (the layout with weights from a formula)"), c.weights);
  visit(v,
        Field("dtype", "of the network's weights and activations: float32, bfloat16 or float16; the sampler's states stay float32")
            .one_of({"float32", "bfloat16", "float16"}),
        c.dtype);
}

void visit_fields(FieldVisitor& v, MlpPriorConfig& c) {
  visit(v, Field("folder", "model folder: config.json, weights, scheduler_config.json"), c.folder);
  visit(v, Field("weights", "folder (its weight file), or formula:SEED (the layout with weights from a formula)"), c.weights);
}

void visit_fields(FieldVisitor& v, GaussianMixturePriorConfig& c) {
  visit(v, Field("num_modes", "equal modes on a circle").between(1, 64), c.num_modes);
  visit(v, Field("radius", "radius of the circle").at_least(0), c.radius);
  visit(v, Field("sigma", "standard deviation of a mode").above(0), c.sigma);
  visit(v, Field("schedule", "noise schedule"), c.schedule);
}

void visit_fields(FieldVisitor& v, CheckerboardPriorConfig& c) { visit(v, Field("schedule", "noise schedule"), c.schedule); }

void visit_fields(FieldVisitor& v, VideoPriorConfig& c) {
  visit(v, Field("folder", "model folder: model_index.json, transformer/, text_encoder/, scheduler/"), c.folder);
  visit(v, Field("weights", "folder (its weight files), or formula:SEED (the layout with weights from a formula)"), c.weights);
  visit(v,
        Field("dtype", "of the transformer's weights and activations: float32, bfloat16 or float16; the sampler's states stay float32")
            .one_of({"float32", "bfloat16", "float16"}),
        c.dtype);
  visit(v, Field("caption", "what the videos shall show; empty: without condition"), c.caption);
  visit(v, Field("guidance", "classifier-free guidance; both halves run as one batch"), c.guidance);
  visit(v, Field("frames", "of the latents; 0: as the model was trained").at_least(0), c.frames);
}

namespace {

at::ScalarType dtype_of(const std::string& name) { return name == "bfloat16" ? at::kBFloat16 : name == "float16" ? at::kHalf : at::kFloat; }

Prior load(const UNet2DPriorConfig& config, at::Device device) {
  check_input(!config.folder.empty(),
              "prior of type unet2d: folder is empty, wanted a model folder, for example "
              "configs/models/digits_unet with weights formula:0");
  NoiseSchedule schedule(read_scheduler_config(config.folder));
  const UNet2DPredictorOptions options{.dtype = dtype_of(config.dtype), .num_timesteps = schedule.num_train_steps()};
  return {unet2d_predictor(load_unet2d(config.folder, config.weights), device, options), std::move(schedule)};
}

Prior load(const MlpPriorConfig& config, at::Device device) {
  check_input(!config.folder.empty(), "prior of type mlp: folder is empty, wanted a model folder");
  NoiseSchedule schedule(read_scheduler_config(config.folder));
  return {mlp_predictor(load_mlp_denoiser(config.folder, config.weights), device), std::move(schedule)};
}

Prior load(const GaussianMixturePriorConfig& config, at::Device device) {
  NoiseSchedule schedule(config.schedule);
  auto network = std::make_shared<GaussianMixture>(ring_of_modes(config.num_modes, config.radius, config.sigma), schedule.alpha_bar, device);
  return {std::move(network), std::move(schedule)};
}

Prior load(const CheckerboardPriorConfig& config, at::Device device) {
  NoiseSchedule schedule(config.schedule);
  auto network = std::make_shared<Checkerboard>(schedule.alpha_bar, device);
  return {std::move(network), std::move(schedule)};
}

Prior load(const VideoPriorConfig&, at::Device) {
  throw InputError("prior.type video is a flow, which predicts no noise: it can only be sampled (linden sample, linden align)");
}

// Every row under the same caption.
FlowNetwork flow_network(const VideoPriorConfig& config, at::Device device) {
  check_input(!config.folder.empty(), "prior of type video: folder is empty, wanted a model folder");
  const VideoModel model = load_video_model(config.folder, config.weights, dtype_of(config.dtype), device);
  const std::vector<std::string> captions = {config.caption, ""};
  const at::Tensor text = model.text_encoder->encode(captions);  // [2, L, D]
  FlowNetwork network;
  network.velocity = [transformer = model.transformer, guidance = config.guidance, text](const at::Tensor& x, const at::Tensor& timestep) {
    const auto for_each_row = [&](int64_t row) { return text[row].unsqueeze(0).expand({x.size(0), -1, -1}); };
    return guided_velocity(transformer, guidance, x, timestep, for_each_row(0), for_each_row(1));
  };
  network.shape = model.sample_shape;
  if (config.frames > 0) network.shape[1] = config.frames;
  network.device = device;
  network.network_calls = guidance_needs_unconditional(config.guidance) ? 2 : 1;
  return network;
}

const char* type_of(const PriorConfig& config) {
  return std::visit([](const auto& c) { return c.kType; }, config);
}
const char* type_of(const PriorSamplerConfig& sampler) {
  return std::visit([](const auto& c) { return c.kType; }, sampler);
}

}  // namespace

FlowSamplerConfig flow_sampler_of(const PriorSamplerConfig& sampler) {
  return std::visit(
      [](const auto& c) -> FlowSamplerConfig {
        if constexpr (std::is_base_of_v<FlowScheduleConfig, std::decay_t<decltype(c)>>) return c;
        else
          throw ConfigError(
              fmt::format("sampler.type {} is for priors that predict noise, but prior.type video is a flow; use euler, unipc, dpmpp_2m or flow_sde", c.kType));
      },
      sampler);
}

std::shared_ptr<Denoiser> load_denoiser(const PriorConfig& config, const PriorSamplerConfig& sampler, at::Device device) {
  if (const auto* video = std::get_if<VideoPriorConfig>(&config)) {
    const FlowSamplerConfig flow = flow_sampler_of(sampler);
    return make_flow_denoiser(flow_network(*video, device), flow);
  }
  const Prior prior = load_prior(config, device);
  if (const auto* ddim = std::get_if<DdimConfig>(&sampler)) return make_denoiser(prior.network, prior.schedule, *ddim);
  if (const auto* ddpm = std::get_if<DdpmConfig>(&sampler)) return make_denoiser(prior.network, prior.schedule, *ddpm);
  throw ConfigError(fmt::format("sampler.type {} is for flows, but prior.type {} predicts noise; use ddim or ddpm", type_of(sampler), type_of(config)));
}

Prior load_prior(const PriorConfig& config, at::Device device) {
  return std::visit([&](const auto& c) { return load(c, device); }, config);
}

}  // namespace linden
