#include "train/trainee.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include "core/error.h"
#include "core/random.h"
#include "data/moving_digits.h"
#include "models/classifier.h"
#include "models/judge.h"
#include "models/mlp_denoiser.h"
#include "models/model_folder.h"
#include "models/unet2d.h"
#include "models/video_model.h"
#include "nn/channels_last.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<int64_t>;

std::string text_of(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

template <class Model>
void visit_model(FieldVisitor& v, Model& c) {
  visit(v, Field("start_from", "model folder whose weights training starts from; empty: random weights by the seed"), c.start_from);
  visit(v, Field("layout", "the network, as in a model folder's config.json"), c.layout);
}

at::Tensor in_layout(const at::Tensor& x, bool channels_last) { return channels_last && x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x; }

template <class Module, class Layout>
Trainee noise_trainee(const Layout& layout, bool channels_last) {
  Module network(layout);
  Trainee trainee;
  trainee.module = network.ptr();
  trainee.predict_noise = [network, channels_last](const at::Tensor& x, const at::Tensor& t) mutable {
    return network->forward(in_layout(x, channels_last), t);
  };
  trainee.save = [network, layout](const fs::path& folder, at::ScalarType dtype) { save_model_folder(folder, *network, layout, dtype); };
  return trainee;
}

template <class Impl, class Layout>
Trainee classifier_trainee(const Layout& layout, bool channels_last) {
  const auto network = std::make_shared<Impl>(layout);
  Trainee trainee;
  trainee.module = network;
  trainee.logits = [network, channels_last](const at::Tensor& x) { return network->logits(in_layout(x, channels_last)); };
  trainee.save = [network](const fs::path& folder, at::ScalarType dtype) { network->save(folder, dtype); };
  return trainee;
}

// transformer and text_encoder as one module, so that one optimiser holds both.
class TextToVideoImpl : public torch::nn::Module {
 public:
  explicit TextToVideoImpl(const VideoDitConfig& layout) {
    transformer = register_module("transformer", VideoDit(layout));
    const CaptionTable table = clip_caption_table();
    text_encoder =
        register_module("text_encoder", std::make_shared<CaptionEmbeddingImpl>(CaptionEmbeddingConfig{table.words(), table.max_length(), layout.text_dim}));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& timesteps, const at::Tensor& captions) {
    return transformer(x, timesteps, text_encoder->forward(captions));
  }

  VideoDit transformer{nullptr};
  std::shared_ptr<CaptionEmbeddingImpl> text_encoder;
};

Trainee build(const VideoDitModel& c, bool) {
  const auto network = std::make_shared<TextToVideoImpl>(c.layout);
  Trainee trainee;
  trainee.module = network;
  trainee.predict_velocity = [network](const at::Tensor& x, const at::Tensor& timesteps, const at::Tensor& captions) {
    return network->forward(x, timesteps, captions);
  };
  return trainee;
}
void save_as_pipeline(Trainee& trainee) {
  const auto network = std::dynamic_pointer_cast<TextToVideoImpl>(trainee.module);
  check(network != nullptr, "save_as_pipeline: not a text-to-video network");
  trainee.save = [network, shape = trainee.example_shape](const fs::path& folder, at::ScalarType dtype) {
    save_video_model(folder, {network->transformer, network->text_encoder, {}, shape}, dtype);
  };
}
void start_from_pipeline(torch::nn::Module& module, const fs::path& folder) {
  auto& network = dynamic_cast<TextToVideoImpl&>(module);
  load_model_weights(*network.transformer, folder / "transformer");
  load_model_weights(*network.text_encoder, folder / "text_encoder");
}

Trainee build(const UNet2DModel& c, bool channels_last) { return noise_trainee<UNet2D>(c.layout, channels_last); }
Trainee build(const MlpModel& c, bool) { return noise_trainee<MlpDenoiser>(c.layout, false); }
Trainee build(const DigitClassifierModel& c, bool channels_last) { return classifier_trainee<DigitClassifierImpl>(c.layout, channels_last); }
Trainee build(const DigitJudgeModel& c, bool channels_last) { return classifier_trainee<DigitJudgeImpl>(c.layout, channels_last); }

// What each layout is fed; the judge, and a U-Net whose sample_size is 0, take any rows and columns.
Shape wanted_shape(const UNet2DModel& c, const Shape& shape) {
  const int64_t size = c.layout.sample_size;
  return size == 0 && shape.size() == 3 ? Shape{c.layout.in_channels, shape[1], shape[2]} : Shape{c.layout.in_channels, size, size};
}
Shape wanted_shape(const MlpModel& c, const Shape&) { return {c.layout.data_dim}; }
Shape wanted_shape(const DigitClassifierModel& c, const Shape&) { return {c.layout.in_channels, c.layout.image_size, c.layout.image_size}; }
Shape wanted_shape(const DigitJudgeModel& c, const Shape& shape) {
  return shape.size() == 3 ? Shape{c.layout.in_channels, shape[1], shape[2]} : Shape{c.layout.in_channels, 32, 32};
}

// Clips in patches.
Shape wanted_shape(const VideoDitModel& c, const Shape& shape) {
  Shape wanted = shape.size() == 4 ? shape : Shape{0, 8, 32, 32};
  wanted[0] = c.layout.in_channels;
  for (size_t axis = 0; axis < 3; ++axis) wanted[axis + 1] -= wanted[axis + 1] % c.layout.patch_size[axis];
  return wanted;
}

class TraineePredictor final : public NoisePredictor {
 public:
  TraineePredictor(const Trainee& trainee, at::Device device) : trainee_(trainee), device_(device) {}
  at::Tensor predict_noise(const at::Tensor& x, const at::Tensor& timesteps) override { return trainee_.predict_noise(x, timesteps).to(x.scalar_type()); }
  std::vector<int64_t> shape() const override { return trainee_.example_shape; }
  at::Device device() const override { return device_; }

 private:
  Trainee trainee_;
  at::Device device_;
};

}  // namespace

UNet2DModel::UNet2DModel() {
  layout.sample_size = 32;
  layout.in_channels = layout.out_channels = 1;
  layout.block_out_channels = {32, 64, 64};
  layout.down_block_types = {"DownBlock2D", "DownBlock2D", "AttnDownBlock2D"};
  layout.up_block_types = {"AttnUpBlock2D", "UpBlock2D", "UpBlock2D"};
  layout.layers_per_block = 1;
  layout.attention_head_dim = 0;
  layout.norm_num_groups = 8;
}

VideoDitModel::VideoDitModel() {
  layout.patch_size = {1, 4, 4};
  layout.num_attention_heads = 2;
  layout.attention_head_dim = 64;
  layout.in_channels = layout.out_channels = 1;
  layout.text_dim = 64;
  layout.text_len = clip_caption_table().max_length();
  layout.ffn_dim = 512;
  layout.num_layers = 12;
  layout.residual_dtype = "fp32";
}

void visit_fields(FieldVisitor& v, VideoDitModel& c) { visit_model(v, c); }
void visit_fields(FieldVisitor& v, UNet2DModel& c) { visit_model(v, c); }
void visit_fields(FieldVisitor& v, MlpModel& c) { visit_model(v, c); }
void visit_fields(FieldVisitor& v, DigitClassifierModel& c) { visit_model(v, c); }
void visit_fields(FieldVisitor& v, DigitJudgeModel& c) { visit_model(v, c); }

Trainee make_trainee(const ModelConfig& config, const Shape& example_shape, uint64_t seed, bool channels_last) {
  at::manual_seed(stream_key(seed, Purpose::kWeights));
  Trainee trainee = std::visit([&](const auto& model) { return build(model, channels_last); }, config);
  trainee.example_shape = example_shape;
  const std::string start_from = std::visit([](const auto& model) { return model.start_from; }, config);
  check_input(start_from.empty() || fs::is_directory(start_from), "model.start_from: {}: no such model folder", start_from);
  if (!start_from.empty()) trainee.predict_velocity ? start_from_pipeline(*trainee.module, start_from) : load_model_weights(*trainee.module, start_from);
  if (trainee.predict_velocity) save_as_pipeline(trainee);
  if (channels_last) weights_to_channels_last(*trainee.module);
  trainee.module->train();
  return trainee;
}

const char* task_of(const ModelConfig& config) {
  if (std::holds_alternative<VideoDitModel>(config)) return "flow_matching";
  return std::holds_alternative<UNet2DModel>(config) || std::holds_alternative<MlpModel>(config) ? "noise_prediction" : "classification";
}

std::string model_type(const ModelConfig& config) {
  return std::visit([](const auto& model) { return std::string(model.kType); }, config);
}

int64_t num_classes(const ModelConfig& config) {
  if (const auto* classifier = std::get_if<DigitClassifierModel>(&config)) return classifier->layout.num_classes;
  const auto* judge = std::get_if<DigitJudgeModel>(&config);
  return judge ? judge->layout.num_classes : 0;
}

void require_fitting_model(const ModelConfig& config, const Shape& example_shape, const std::string& data) {
  const Shape wanted = std::visit([&](const auto& model) { return wanted_shape(model, example_shape); }, config);
  if (wanted == example_shape) return;
  throw ConfigError(fmt::format("model.type {} takes examples of shape {}, but data.type {} has {}; choose another model.type, or change model.layout",
                                model_type(config), text_of(wanted), data, text_of(example_shape)));
}

std::shared_ptr<NoisePredictor> as_noise_predictor(const Trainee& trainee, at::Device device) {
  check(static_cast<bool>(trainee.predict_noise), "as_noise_predictor: this network does not predict noise");
  return std::make_shared<TraineePredictor>(trainee, device);
}

}  // namespace linden
