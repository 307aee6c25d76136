// linden forward: runs a model folder on tensors from a file, and dumps activations by name.
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <set>

#include "commands/command.h"
#include "core/device.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/run_config.h"
#include "models/any_model.h"
#include "nn/trace.h"

namespace linden {
namespace {

struct ForwardOptions {
  std::string model, input, output, weights, dtype, device;
  std::vector<std::string> traced;  // module paths, or "all"
};

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start < text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    if (comma > start) parts.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

ForwardOptions read_options(const CommandLine& line) {
  ForwardOptions options;
  options.model = line.option("model");
  options.input = line.option("input");
  options.output = line.option("output");
  options.weights = line.option("weights", "folder");
  options.dtype = line.option("dtype", "fp32");
  options.device = line.option("device", "auto");
  options.traced = split_commas(line.option("trace"));
  for (const auto& [name, value] : {std::pair{"--model", options.model}, {"--input", options.input}, {"--output", options.output}})
    check_input(!value.empty(), "linden forward: {} is missing; for example\n  {}", name, forward_command().example);
  return options;
}

at::ScalarType dtype_of(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  throw InputError(fmt::format("--dtype {}: allowed: fp32, bf16, fp16", name));
}

// Keeps the wanted activations, and the names of all for the message about one that does not exist.
class ActivationStore {
 public:
  explicit ActivationStore(const std::vector<std::string>& wanted) : wanted_(wanted.begin(), wanted.end()), all_(wanted_.erase("all") > 0) {}

  void keep(const std::string& name, const at::Tensor& tensor) {
    seen_.insert(name);
    if (!all_ && !wanted_.contains(name)) return;
    tensors["trace." + name] = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
  }
  void check_all_seen() const {
    for (const std::string& name : wanted_) {
      if (seen_.contains(name)) continue;
      const std::vector<std::string> names(seen_.begin(), seen_.end());
      const std::string nearest = nearest_name(name, names);
      throw InputError(fmt::format("--trace {}: the model has no such module{}; names: {}", name,
                                   nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest), fmt::join(names, ", ")));
    }
  }
  NamedTensors tensors;

 private:
  std::set<std::string> wanted_;
  bool all_;
  std::set<std::string> seen_;
};

void run_forward(const CommandLine& line) {
  const ForwardOptions options = read_options(line);
  const at::ScalarType dtype = dtype_of(options.dtype);
  RunConfig run;
  run.device = options.device;
  const at::Device device = set_up_device(run, Float32Math::kExact);
  check_input(std::filesystem::exists(options.input), "--input {}: no such file", options.input);
  const AnyModel model = load_any_model(options.model, options.weights, device, dtype);
  ActivationStore activations(options.traced);
  const NamedTensors inputs = load_safetensors(options.input);
  NamedTensors outputs;
  try {
    at::NoGradGuard no_grad;
    TraceSession session([&](const std::string& name, const at::Tensor& tensor) { activations.keep(name, tensor); });
    outputs = run_model(model, inputs, device, dtype);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", options.input, error.what()));
  } catch (const CheckError& error) {  // here the shapes are the user's
    throw InputError(fmt::format("{}: {}", options.input, error.what()));
  }
  activations.check_all_seen();
  for (auto& [name, tensor] : outputs) tensor = tensor.to(at::kCPU).contiguous();
  const size_t num_outputs = outputs.size();
  outputs.merge(activations.tensors);
  std::filesystem::create_directories(std::filesystem::absolute(options.output).parent_path());
  save_safetensors(options.output, outputs, {{"model", model.class_name}, {"weights", options.weights}, {"dtype", options.dtype}});
  log_info("{}: {} outputs, {} activations -> {}", model.class_name, num_outputs, outputs.size() - num_outputs, options.output);
}

}  // namespace

Command forward_command() {
  Command command;
  command.name = "forward";
  command.summary = "run a model folder on tensors from a file";
  command.usage = "linden forward --model FOLDER --input in.safetensors --output out.safetensors [options]";
  command.example =
      "linden forward --model configs/models/digits_unet --weights formula:5 "
      "--input tests/golden/models/digits_unet_input.safetensors --output runs/forward.safetensors --trace mid_block";
  command.own_options = {
      {"model", "model folder: config.json and weights"},
      {"input", "safetensors file with the model's inputs (sample, timestep)"},
      {"output", "safetensors file to write"},
      {"trace", "module paths whose results to add as trace.<path>, separated by commas, or all"},
      {"weights", "folder (its weight file, the default) or formula:SEED"},
      {"dtype", "fp32 (default), bf16 or fp16"},
      {"device", "auto (default), cpu, cuda or cuda:N"},
  };
  command.shared_options = {"seed", "device", "output"};
  command.run = run_forward;
  return command;
}

}  // namespace linden
