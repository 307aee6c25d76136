// The FID Inception against pytorch-fid's own network with the same formula weights (scripts/golden/make_inception.py).
#include "models/inception.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "io/safetensors.h"
#include "models/weights.h"
#include "tests/support/support.h"

using namespace linden;
using test::message_of;

namespace {

constexpr const char* kPickle = "pt_inception-2015-12-05-6726825d.pth";

std::string golden_keys() {
  std::ifstream file("tests/golden/models/inception_keys.txt");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("Inception has pytorch-fid's tensors and its features", "[golden]") {
  const at::NoGradGuard no_grad;
  const SafetensorsFile golden("tests/golden/models/inception.safetensors");
  Inception inception = load_inception(golden.metadata().at("weights"), at::kCPU);
  CHECK_FALSE(inception->is_training());
  std::string keys;
  for (const auto& [name, tensor] : named_weights(*inception)) {
    if (name.ends_with(".num_batches_tracked")) continue;
    keys += name;
    for (const int64_t size : tensor.sizes()) keys += " " + std::to_string(size);
    keys += "\n";
  }
  CHECK(keys == golden_keys());

  const double gain = std::stod(golden.metadata().at("gain"));
  for (at::Tensor& parameter : inception->parameters()) {
    if (parameter.dim() == 4) parameter.mul_(gain);
  }
  const at::Tensor images = golden.tensor("images").to(at::kFloat) * (2.0 / 255) - 1;
  for (const int64_t dims : kInceptionDims) {
    const at::Tensor expected = golden.tensor("features_" + std::to_string(dims));
    const at::Tensor features = inception->features(images, dims);
    REQUIRE(features.sizes() == expected.sizes());
    const double largest = expected.abs().max().item<double>();
    CAPTURE(dims, largest);
    CHECK((features - expected).abs().max().item<double>() < 1e-5 * largest);
  }
  const at::Tensor grey = images.narrow(1, 0, 1);
  CHECK(at::allclose(inception->features(grey, 64), inception->features(grey.expand({2, 3, 40, 56}).contiguous(), 64), 1e-6, 1e-6));
}

TEST_CASE("what is no Inception weight file is refused, with the way to get one", "[unit]") {
  const test::TemporaryFolder folder;
  const std::string pickle = (folder / kPickle).string(), safetensors = (folder / "pt_inception-2015-12-05-6726825d.safetensors").string();
  CHECK(message_of([&] { load_inception(pickle, at::kCPU); }) ==
        pickle + ": a PyTorch pickle, which linden does not read. Turn it into safetensors once: scripts/convert_inception " + pickle + " " + safetensors);
  const std::string way =
      "scripts/convert_inception makes it from pytorch-fid's weights (pt_inception-2015-12-05-6726825d.pth of "
      "github.com/mseitzer/pytorch-fid, release fid_weights)";
  CHECK(message_of([&] { load_inception(safetensors, at::kCPU); }) == safetensors + ": there is no such file of Inception weights; " + way);

  // One misshaped, one missing, one surplus: all are named.
  Inception inception;
  NamedTensors tensors;
  for (const auto& [name, tensor] : named_weights(*inception)) {
    if (name.starts_with("Mixed_7c.branch3x3_2a.") || name == "fc.bias") continue;
    tensors[name] = tensor;
  }
  tensors["Conv2d_1a_3x3.conv.weight"] = at::zeros({32, 1, 3, 3});
  tensors["AuxLogits.fc.bias"] = at::zeros({1000});
  for (auto& [name, tensor] : tensors) {
    if (tensor.numel() > 200000) tensor = at::zeros({1});  // keeps the file small; each is named, too
  }
  save_safetensors(safetensors, tensors);
  const std::string message = message_of([&] { load_inception(safetensors, at::kCPU); });
  CHECK(message.starts_with(safetensors + ": the tensors do not fit the model"));
  CHECK(message.find("\n  6 missing:\n    Mixed_7c.branch3x3_2a.bn.bias [384]\n") != std::string::npos);
  CHECK(message.find("\n    Mixed_7c.branch3x3_2a.conv.weight [384, 384, 1, 3]\n") != std::string::npos);
  CHECK(message.find("\n    fc.bias [1008]\n") != std::string::npos);
  CHECK(message.find("\n  1 that the model does not have:\n    AuxLogits.fc.bias [1000]\n") != std::string::npos);
  CHECK(message.find("\n    Conv2d_1a_3x3.conv.weight is [32, 1, 3, 3], wanted [32, 3, 3, 3]\n") != std::string::npos);
  CHECK(message.ends_with("\n  It is no whole Inception v3 in pytorch-fid's layout; " + way + "."));
}

TEST_CASE("Inception's contract", "[unit]") {
  Inception inception;
  CHECK(message_of([&] { inception->features(at::zeros({1, 4, 8, 8}), 64); }) == "Inception: images are [1, 4, 8, 8], wanted [B, 1 or 3, Y, X]");
  CHECK(message_of([&] { inception->features(at::zeros({1, 3, 8, 8}), 100); }) == "Inception has no layer of 100 features, only of 64, 192, 768, 2048");
}
