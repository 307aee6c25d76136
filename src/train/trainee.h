// The network being trained, seen by what it can do: predict noise, a velocity, or tell classes apart.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "diffusion/noise_predictor.h"
#include "models/classifier_config.h"
#include "models/mlp_denoiser_config.h"
#include "models/unet2d_config.h"
#include "models/video_dit_config.h"

namespace torch::nn {
class Module;
}

namespace linden {

struct UNet2DModel {
  static constexpr const char* kType = "unet2d";
  std::string start_from;  // model folder whose weights it starts from; empty: random
  UNet2DConfig layout;     // defaults: the digits layout
  UNet2DModel();
};
struct MlpModel {
  static constexpr const char* kType = "mlp";
  std::string start_from;
  MlpDenoiserConfig layout;
};
struct DigitClassifierModel {
  static constexpr const char* kType = "digit_classifier";
  std::string start_from;
  DigitClassifierConfig layout;
};
struct DigitJudgeModel {
  static constexpr const char* kType = "digit_judge";
  std::string start_from;
  DigitJudgeConfig layout;
};
// A video transformer and the table of words that its captions are made of, trained together.
struct VideoDitModel {
  static constexpr const char* kType = "video_dit";
  std::string start_from;
  VideoDitConfig layout;  // defaults: 12 blocks of width 128 on grey 32x32 frames, patches of 4x4
  VideoDitModel();
};
void visit_fields(FieldVisitor& v, UNet2DModel& c);
void visit_fields(FieldVisitor& v, MlpModel& c);
void visit_fields(FieldVisitor& v, DigitClassifierModel& c);
void visit_fields(FieldVisitor& v, DigitJudgeModel& c);
void visit_fields(FieldVisitor& v, VideoDitModel& c);
using ModelConfig = std::variant<UNet2DModel, MlpModel, DigitClassifierModel, DigitJudgeModel, VideoDitModel>;

// x: [B, ...], timesteps: [B] int64 -> the noise, as x.
using NoisePredictorFunction = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& timesteps)>;
// x: [B, C, Y, X] -> [B, classes], before softmax.
using ClassifierFunction = std::function<at::Tensor(const at::Tensor& x)>;

// x: [B, C, F, Y, X]; timesteps: [B] fp32, 0 .. 1000; captions: [B, L] int64 ids -> the velocity, as x.
using VelocityPredictorFunction = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& timesteps, const at::Tensor& captions)>;

struct Trainee {
  std::shared_ptr<torch::nn::Module> module;
  NoisePredictorFunction predict_noise;  // one of the three is there
  ClassifierFunction logits;
  VelocityPredictorFunction predict_velocity;
  std::vector<int64_t> example_shape;                                                   // of what it is trained on, without B
  std::function<void(const std::filesystem::path& folder, at::ScalarType dtype)> save;  // a model folder
};

// A new network on the CPU, in training mode: LibTorch's initial weights, drawn by `seed`, or those of
// start_from. `channels_last`: convolutions in that layout. Throws InputError/ConfigError.
Trainee make_trainee(const ModelConfig& config, const std::vector<int64_t>& example_shape, uint64_t seed, bool channels_last);

const char* task_of(const ModelConfig& config);     // the task.type that the model is for: "noise_prediction"
std::string model_type(const ModelConfig& config);  // "unet2d"
int64_t num_classes(const ModelConfig& config);     // 0 unless it is a classifier
// Throws ConfigError unless the model takes examples of that shape; `data` names the set.
void require_fitting_model(const ModelConfig& config, const std::vector<int64_t>& example_shape, const std::string& data);

// The trainee as samplers see it.
std::shared_ptr<NoisePredictor> as_noise_predictor(const Trainee& trainee, at::Device device);

}  // namespace linden
