#include "models/any_model.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "io/safetensors_header.h"
#include "models/cifar_resnet.h"
#include "models/classifier.h"
#include "models/image_classifier.h"
#include "models/judge.h"
#include "models/mlp_denoiser.h"
#include "models/model_folder.h"
#include "models/unet2d.h"
#include "models/video_dit.h"
#include "models/wan_checkpoint.h"
#include "nn/channels_last.h"

namespace linden {
namespace {

// [], [1] or [B] -> [B], B the rows of `data`, which is called `name`.
at::Tensor one_a_row(const at::Tensor& timestep, const at::Tensor& data, const std::string& name) {
  check_input(timestep.numel() == 1 || (timestep.dim() == 1 && timestep.size(0) == data.size(0)),
              "timestep is [{}], wanted one number, or [{}] as {} has that many rows", fmt::join(timestep.sizes(), ", "), data.size(0), name);
  return timestep.numel() == 1 ? timestep.reshape({1}).expand({data.size(0)}) : timestep;
}

// Networks of (sample, timestep).
template <class Holder>
AnyModel denoiser_model(Holder network) {
  AnyModel model;
  model.module = network.ptr();
  model.inputs = {"sample", "timestep"};
  model.forward = [network](const NamedTensors& inputs) mutable {
    const at::Tensor& sample = inputs.at("sample");
    return NamedTensors{{"sample", network(sample, one_a_row(inputs.at("timestep"), sample, "sample"))}};
  };
  return model;
}

AnyModel video_model(VideoDit network) {
  AnyModel model;
  model.module = network.ptr();
  model.inputs = {"hidden_states", "timestep", "encoder_hidden_states"};
  model.forward = [network](const NamedTensors& inputs) mutable {
    const at::Tensor& latents = inputs.at("hidden_states");
    check_input(latents.dim() > 0, "hidden_states is one number, wanted [B, C, F, Y, X]");
    const at::Tensor timestep = one_a_row(inputs.at("timestep"), latents, "hidden_states");
    return NamedTensors{{"sample", network(latents, timestep, inputs.at("encoder_hidden_states"))}};
  };
  return model;
}

AnyModel classifier_model(std::shared_ptr<ImageClassifier> classifier) {
  AnyModel model;
  model.module = std::shared_ptr<torch::nn::Module>(classifier, &classifier->module());
  model.inputs = {"sample"};
  model.forward = [classifier](const NamedTensors& inputs) {
    const at::Tensor& sample = inputs.at("sample");
    return NamedTensors{{"logits", classifier->logits(sample)}, {"features", classifier->features(sample)}};
  };
  return model;
}

}  // namespace

AnyModel load_any_model(const std::filesystem::path& folder, const std::string& weights, at::Device device, at::ScalarType dtype) {
  const std::string class_name = is_wan_checkpoint(folder) ? VideoDitConfig::kClassName : model_class_name(folder);
  AnyModel model;
  if (class_name == UNet2DConfig::kClassName) {
    model = denoiser_model(load_unet2d(folder, weights));
  } else if (class_name == MlpDenoiserConfig::kClassName) {
    model = denoiser_model(load_mlp_denoiser(folder, weights));
  } else if (class_name == VideoDitConfig::kClassName) {
    model = video_model(load_video_dit(folder, weights));
  } else if (class_name == DigitClassifierConfig::kClassName || class_name == DigitJudgeConfig::kClassName || class_name == CifarResNetConfig::kClassName) {
    model = classifier_model(load_classifier(folder, at::kCPU, weights));
  } else {
    throw InputError(fmt::format("{}: _class_name is {}; linden has {}, {}, {}, {}, {} and {}", (folder / "config.json").string(), class_name,
                                 UNet2DConfig::kClassName, MlpDenoiserConfig::kClassName, VideoDitConfig::kClassName, DigitClassifierConfig::kClassName,
                                 DigitJudgeConfig::kClassName, CifarResNetConfig::kClassName));
  }
  model.class_name = class_name;
  model.module->to(device, dtype);
  model.module->eval();
  weights_to_channels_last(*model.module);
  return model;
}

NamedTensors run_model(const AnyModel& model, const NamedTensors& inputs, at::Device device, at::ScalarType dtype) {
  NamedTensors moved;
  for (const std::string& name : model.inputs) {
    const auto found = inputs.find(name);
    check_input(found != inputs.end(), "{}: the input tensor \"{}\" is missing; wanted: {}", model.class_name, name, fmt::join(model.inputs, ", "));
    const bool is_data = name != "timestep";
    check_input(!is_data || found->second.is_floating_point(), "{}: the input tensor \"{}\" is {}, wanted F32, F16, BF16 or F64", model.class_name, name,
                safetensors_dtype_name(found->second.scalar_type()).value_or(at::toString(found->second.scalar_type())));
    at::Tensor tensor = found->second.to(device);
    if (is_data) tensor = tensor.to(dtype);
    moved[name] = tensor.dim() == 4 ? tensor.contiguous(at::MemoryFormat::ChannelsLast) : tensor;
  }
  for (const auto& [name, tensor] : inputs) {
    check_input(moved.contains(name), "{}: there is no input \"{}\"; wanted: {}", model.class_name, name, fmt::join(model.inputs, ", "));
  }
  return model.forward(moved);
}

}  // namespace linden
