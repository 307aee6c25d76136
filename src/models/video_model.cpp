#include "models/video_model.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/files.h"
#include "diffusion/flow_chain.h"
#include "models/wan_checkpoint.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

// model_index.json. Keys that linden does not write are passed over.
struct VideoModelIndex {
  std::string class_name = "WanPipeline";
  std::vector<std::string> transformer = {"diffusers", VideoDitConfig::kClassName};
  std::vector<std::string> text_encoder = {"linden", CaptionEmbeddingConfig::kClassName};
  std::vector<std::string> scheduler = {"diffusers", FlowSchedulerFile{}.class_name};
  std::vector<int64_t> sample_shape;
};
void visit_fields(FieldVisitor& v, VideoModelIndex& c) {
  visit(v, Field("_class_name", "the pipeline"), c.class_name);
  visit(v, Field("transformer", "library and class of transformer/"), c.transformer);
  visit(v, Field("text_encoder", "library and class of text_encoder/"), c.text_encoder);
  visit(v, Field("scheduler", "library and class of scheduler/"), c.scheduler);
  visit(v, Field("sample_shape", "channels, frames, rows and columns that the model was trained on").at_least(1), c.sample_shape);
}

template <class File>
void read_file(const fs::path& file, File& out) {
  check_input(fs::exists(file), "{}: there is no such file; a video model's folder holds model_index.json, transformer/, text_encoder/ and scheduler/",
              file.string());
  from_json(read_text_file(file), file.string(), out, /*allow_unknown=*/true);
}

// A model without its networks.
VideoModel open_video_model(const fs::path& folder) {
  check_input(fs::is_directory(folder), "{}: no such model folder (relative folders start at {})", folder.string(), fs::current_path().string());
  VideoModelIndex index;
  read_file(folder / "model_index.json", index);
  check_input(index.sample_shape.size() == 4, "{}: sample_shape has {} numbers, wanted channels, frames, rows and columns",
              (folder / "model_index.json").string(), index.sample_shape.size());
  VideoModel model;
  read_file(folder / "scheduler" / "scheduler_config.json", model.scheduler);
  model.sample_shape = index.sample_shape;
  return model;
}

}  // namespace

void visit_fields(FieldVisitor& v, FlowSchedulerFile& c) {
  visit(v, Field("_class_name", "the sampler"), c.class_name);
  visit(v, Field("num_train_timesteps", "a timestep is this times sigma").at_least(1), c.num_train_timesteps);
  visit(v, Field("shift", "of the noise levels").above(0), c.shift);
}

VideoModelLayout read_video_model_layout(const fs::path& folder) {
  VideoModel model = open_video_model(folder);
  VideoModelLayout layout{{}, model.scheduler, model.sample_shape};
  const fs::path transformer = folder / "transformer";
  if (model_class_name(transformer) == VideoDitConfig::kClassName) layout.transformer = read_model_config<VideoDitConfig>(transformer);
  else from_json(WanCheckpoint(transformer).config_text(VideoDitConfig::nullable_keys()), (transformer / "config.json").string(), layout.transformer);
  return layout;
}

VideoModel read_video_model(const fs::path& folder, const std::string& weights) {
  VideoModel model = open_video_model(folder);
  model.transformer = load_video_dit(folder / "transformer", weights);
  model.text_encoder = load_text_encoder(folder / "text_encoder", weights);
  const VideoDitConfig& config = model.transformer->config();
  check_input(model.text_encoder->text_dim() == config.text_dim && model.text_encoder->max_length() <= config.text_len,
              "{}: the text encoder gives {} tokens of {} numbers, but the transformer takes at most {} of {}", folder.string(),
              model.text_encoder->max_length(), model.text_encoder->text_dim(), config.text_len, config.text_dim);
  check_input(model.sample_shape[0] == config.in_channels && num_output_channels(config) == config.in_channels,
              "{}: samples have {} channels, but the transformer takes {} and returns {}", folder.string(), model.sample_shape[0], config.in_channels,
              num_output_channels(config));
  model.transformer->eval();
  return model;
}

VideoModel load_video_model(const fs::path& folder, const std::string& weights, at::ScalarType dtype, at::Device device) {
  VideoModel model = read_video_model(folder, weights);
  model.transformer->to(device, dtype);
  model.text_encoder->to(device);
  for (at::Tensor& parameter : model.transformer->parameters()) parameter.requires_grad_(false);
  model.transformer->freeze();
  return model;
}

void write_flow_scheduler(const fs::path& folder, FlowSchedulerFile scheduler) {
  fs::create_directories(folder / "scheduler");
  write_file_atomically(folder / "scheduler" / "scheduler_config.json", to_json(scheduler) + "\n");
}

void save_video_model(const fs::path& folder, const VideoModel& model, at::ScalarType dtype) {
  save_model_folder(folder / "transformer", *model.transformer, model.transformer->config(), dtype);
  model.text_encoder->save(folder / "text_encoder", dtype);
  write_flow_scheduler(folder, model.scheduler);
  VideoModelIndex index;
  index.sample_shape = model.sample_shape;
  write_file_atomically(folder / "model_index.json", to_json(index) + "\n");
}

at::Tensor guided_velocity(VideoDit network, const GuidanceConfig& guidance, const at::Tensor& x, const at::Tensor& timestep, const at::Tensor& text,
                           const at::Tensor& null_text) {
  if (!guidance_needs_unconditional(guidance)) return network(x, timestep, text).to(at::kFloat);
  const std::vector<at::Tensor> both = network(at::cat({x, x}), at::cat({timestep, timestep}), at::cat({text, null_text})).to(at::kFloat).chunk(2);
  return guide(guidance, both[0], both[1]);
}

at::Tensor draw_video(VideoDit network, const VideoDraw& draw, uint64_t seed, std::span<const int64_t> indices,
                      const std::function<void(int64_t)>& after_step) {
  const at::Tensor none = draw.null_text.expand_as(draw.text);
  const VelocityFunction velocity = [&](const at::Tensor& x, const at::Tensor& timestep) {
    return guided_velocity(network, draw.guidance, x, timestep, draw.text, none);
  };
  return sample_flow(draw.sampler, velocity, draw.shape, seed, indices, draw.text.device(), after_step);
}

}  // namespace linden
