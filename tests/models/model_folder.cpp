// Model folders: reading, writing, and every way in which they do not fit.
#include "models/model_folder.h"

#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "models/formula_weights.h"
#include "models/scheduler_file.h"
#include "models/unet2d.h"
#include "models/weights.h"
#include "tests/support/support.h"

using namespace linden;
using test::message_of;
using test::TemporaryFolder;

namespace {

bool has(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

// One level of 8 channels with attention: the smallest U-Net.
UNet2DConfig tiny_config() {
  UNet2DConfig config;
  config.sample_size = 4;
  config.in_channels = config.out_channels = 1;
  config.down_block_types = {"AttnDownBlock2D"};
  config.up_block_types = {"AttnUpBlock2D"};
  config.block_out_channels = {8};
  config.layers_per_block = 1;
  config.attention_head_dim = 0;
  config.norm_num_groups = 4;
  return config;
}

UNet2D tiny_unet(uint64_t seed = 1) {
  UNet2D unet(tiny_config());
  set_formula_weights(*unet, seed);
  unet->eval();
  return unet;
}

bool equal_weights(const torch::nn::Module& left, const torch::nn::Module& right) {
  const NamedTensors a = named_weights(left), b = named_weights(right);
  for (const auto& [name, tensor] : a)
    if (!at::equal(tensor, b.at(name))) return false;
  return a.size() == b.size();
}

}  // namespace

TEST_CASE("a saved model folder reads back as it was", "[unit]") {
  const TemporaryFolder folder;
  const UNet2D unet = tiny_unet();
  save_model_folder(folder.path, *unet, unet->config());
  CHECK(model_class_name(folder.path) == "UNet2DModel");
  CHECK(has(read_text_file(folder / "config.json"), "\"attention_head_dim\": null"));
  CHECK(to_json(read_model_config<UNet2DConfig>(folder.path)) == to_json(unet->config()));
  CHECK(equal_weights(*load_unet2d(folder.path), *unet));
}

TEST_CASE("an fp16 folder loads as fp32", "[unit]") {
  const TemporaryFolder folder;
  const UNet2D unet = tiny_unet();
  save_model_folder(folder.path, *unet, unet->config(), at::kHalf);
  CHECK(SafetensorsFile(folder / "diffusion_pytorch_model.safetensors").tensor("conv_in.weight").scalar_type() == at::kHalf);
  const UNet2D loaded = load_unet2d(folder.path);
  for (const auto& [name, tensor] : named_weights(*loaded)) {
    CHECK(tensor.scalar_type() == at::kFloat);
    CHECK(at::equal(tensor, named_weights(*unet).at(name).to(at::kHalf).to(at::kFloat)));
  }
}

TEST_CASE("old attention names and 1x1 convolutions are accepted", "[unit]") {
  const UNet2D unet = tiny_unet();
  NamedTensors old_tensors;
  int64_t renamed = 0;
  for (const auto& [name, tensor] : named_weights(*unet)) {
    std::string old_name = name;
    at::Tensor old_tensor = tensor.detach().clone();
    for (const auto& [now, before] :
         {std::pair<std::string, std::string>{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}}) {
      const auto found = name.find(now);
      if (found == std::string::npos) continue;
      old_name.replace(found, now.size(), before);
      if (name.ends_with("weight")) old_tensor = old_tensor.unsqueeze(-1).unsqueeze(-1);
      ++renamed;
    }
    old_tensors[old_name] = old_tensor;
  }
  CHECK(renamed == 8 * 4);  // four attentions: down, middle, two up
  UNet2D loaded = tiny_unet(2);
  load_weights(*loaded, old_tensors, "old");
  CHECK(equal_weights(*loaded, *unet));
}

TEST_CASE("every missing, surplus and misshaped tensor is listed at once", "[unit]") {
  UNet2D unet = tiny_unet();
  NamedTensors tensors;
  for (const auto& [name, tensor] : named_weights(*unet)) tensors[name] = tensor.detach().clone();
  tensors.erase("conv_in.weight");
  tensors.erase("mid_block.resnets.0.norm1.bias");
  tensors["conv_extra.weight"] = at::zeros({2, 3});
  tensors["conv_out.bias"] = at::zeros({5});
  tensors["time_embedding.linear_1.weight"] = at::zeros({32, 9});
  const UNet2D before = tiny_unet();
  const std::string message = message_of([&] { load_weights(*unet, tensors, "weights.safetensors"); });
  CHECK(has(message, "weights.safetensors: the tensors do not fit"));
  CHECK(has(message, "2 missing:\n    conv_in.weight [8, 1, 3, 3]\n    mid_block.resnets.0.norm1.bias [8]"));
  CHECK(has(message, "1 that the model does not have:\n    conv_extra.weight [2, 3]"));
  CHECK(has(message,
            "2 of another shape:\n    conv_out.bias is [5], wanted [1]\n    time_embedding.linear_1.weight is [32, 9], "
            "wanted [32, 8]"));
  CHECK(equal_weights(*unet, *before));
}

TEST_CASE("a name in both spellings is one too many", "[unit]") {
  UNet2D unet = tiny_unet();
  NamedTensors tensors = named_weights(*unet);
  tensors["mid_block.attentions.0.query.bias"] = at::zeros({8});
  CHECK(has(message_of([&] { load_weights(*unet, tensors, "both"); }), "1 that the model does not have:\n    mid_block.attentions.0."));
}

TEST_CASE("weights are found under the usual names, or the message says where it looked", "[unit]") {
  const TemporaryFolder folder;
  const UNet2D unet = tiny_unet();
  save_model_folder(folder.path, *unet, unet->config());
  for (const char* name : {"model.safetensors", "diffusion_pytorch_model.fp16.safetensors"}) {
    const TemporaryFolder other;
    std::filesystem::copy(folder / "config.json", other / "config.json");
    std::filesystem::copy(folder / "diffusion_pytorch_model.safetensors", other / name);
    CHECK(equal_weights(*load_unet2d(other.path), *unet));
  }
  std::filesystem::remove(folder / "diffusion_pytorch_model.safetensors");
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "there are no weights (diffusion_pytorch_model.safetensors or model.safetensors"));
  CHECK(equal_weights(*load_unet2d(folder.path, "formula:1"), *unet));
}

TEST_CASE("a folder that is no model folder is named", "[unit]") {
  const TemporaryFolder folder;
  CHECK(has(message_of([&] { load_unet2d(folder / "absent"); }), "absent: no such model folder"));
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "there is no config.json"));
  write_file_atomically(folder / "config.json", "{");
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "config.json: not valid JSON"));
  write_file_atomically(folder / "config.json", "[1]");
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "is array, wanted an object"));
  write_file_atomically(folder / "config.json", "{}");
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "there is no \"_class_name\""));
  write_file_atomically(folder / "config.json", R"({"_class_name": "DigitJudge"})");
  CHECK(has(message_of([&] { load_unet2d(folder.path); }), "_class_name is DigitJudge, wanted UNet2DModel"));
}

TEST_CASE("a value or key that linden does not have is named with its file", "[unit]") {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& key_and_value) {
    write_file_atomically(folder / "config.json", R"({"_class_name": "UNet2DModel", "_diffusers_version": "0.1.0", )" + key_and_value + "}");
    return message_of([&] { read_model_config<UNet2DConfig>(folder.path); });
  };
  CHECK(message(R"("sample_size": 32)").empty());
  CHECK(has(message(R"("time_embedding_type": "fourier")"), "config.json: time_embedding_type is \"fourier\", allowed: positional"));
  CHECK(has(message(R"("down_block_types": ["SkipDownBlock2D"])"), "down_block_types"));
  CHECK(has(message(R"("num_class_embeds": 10)"), "num_class_embeds is 10"));
  CHECK(has(message(R"("norm_num_groups": null)"), "norm_num_groups is null, wanted an integer"));
  CHECK(has(message(R"("block_out_chanels": [8])"), "did you mean \"block_out_channels\"?"));
}

TEST_CASE("the noise schedule is read from beside the model or from the pipeline", "[unit]") {
  const NoiseScheduleConfig cifar10 = read_scheduler_config("configs/models/cifar10_unet");
  CHECK(cifar10.num_train_steps == 1000);
  CHECK(cifar10.beta_end == 0.02);
  const TemporaryFolder folder;
  const std::filesystem::path unet = folder / "unet";
  std::filesystem::create_directories(unet);
  CHECK(has(message_of([&] { read_scheduler_config(unet); }), "there is no noise schedule: neither"));
  write_scheduler_config(folder / "scheduler", {500, "scaled_linear", 0.00085, 0.012});
  for (const auto& path : {unet, unet / ""}) {
    const NoiseScheduleConfig schedule = read_scheduler_config(path);
    CHECK(schedule.num_train_steps == 500);
    CHECK(schedule.beta_schedule == "scaled_linear");
    CHECK(schedule.beta_start == 0.00085);
  }
  write_file_atomically(unet / "scheduler_config.json", R"({"prediction_type": "v_prediction"})");
  CHECK(has(message_of([&] { read_scheduler_config(unet); }), "prediction_type is \"v_prediction\", and linden has only \"epsilon\""));
  write_file_atomically(unet / "scheduler_config.json", R"({"beta_schedule": "squaredcos_cap_v2"})");
  CHECK(has(message_of([&] { read_scheduler_config(unet); }), "beta_schedule is \"squaredcos_cap_v2\", allowed"));
}

TEST_CASE("formula weights have the bits of the Python side", "[golden]") {
  int64_t count = 0;
  for (const auto& [name, tensor] : load_safetensors("tests/golden/models/formula_weights.safetensors")) {
    const auto slash = name.find('/');
    const uint64_t seed = std::stoull(name.substr(0, slash));
    INFO(name);
    CHECK(at::equal(formula_tensor(name.substr(slash + 1), tensor.sizes(), seed), tensor));
    ++count;
  }
  CHECK(count == 18);
}

TEST_CASE("formula weights have the promised spread", "[unit]") {
  const at::Tensor weight = formula_tensor("a.weight", {256, 64, 3, 3}, 1);
  CHECK(std::abs(weight.std().item<double>() * std::sqrt(64 * 9) - 1) < 0.01);
  CHECK(std::abs(weight.mean().item<double>()) < 1e-3);
  CHECK(formula_tensor("a.running_var", {1000}, 1).min().item<double>() >= 0.875);
  CHECK_FALSE(at::equal(formula_tensor("a.weight", {8, 8}, 1), formula_tensor("b.weight", {8, 8}, 1)));
  CHECK_FALSE(at::equal(formula_tensor("a.weight", {8, 8}, 1), formula_tensor("a.weight", {8, 8}, 2)));
}

TEST_CASE("a seed of formula weights that is no seed is refused", "[unit]") {
  CHECK(formula_seed("formula:18446744073709551615") == UINT64_MAX);
  for (const char* bad : {"formula:", "formula:x", "formula:-1", "formula:1.5", "file", "", "formula:99999999999999999999"})
    CHECK(has(message_of([&] { formula_seed(bad); }), "wanted \"folder\" (the folder's weight file) or \"formula:SEED\""));
}
