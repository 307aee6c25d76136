#include "train/state.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"
#include "io/safetensors.h"

namespace linden {
namespace {

namespace fs = std::filesystem;
const std::string kPrefix = "step_";

std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (name.rfind(kPrefix, 0) != 0) return std::nullopt;
  const std::string digits = name.substr(kPrefix.size());
  if (digits.empty() || digits.size() > 15 || !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return std::stoll(digits);
}

// Steps of the whole states, newest first.
std::vector<int64_t> saved_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  if (!fs::is_directory(run)) return steps;
  for (const auto& entry : fs::directory_iterator(run))
    if (const auto step = step_of(entry.path())) steps.push_back(*step);
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

fs::path state_folder(const fs::path& run, int64_t step) { return run / (kPrefix + std::to_string(step)); }

NamedTensors with_prefix(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors named;
  for (const auto& [name, tensor] : tensors) named[prefix + name] = tensor;
  return named;
}

// The tensors whose name starts with `prefix`, without it.
NamedTensors take_prefix(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors named;
  for (const auto& [name, tensor] : tensors)
    if (name.rfind(prefix, 0) == 0) named[name.substr(prefix.size())] = tensor;
  return named;
}

NamedTensors contiguous(NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) tensor = tensor.detach().contiguous();
  return tensors;
}

// model.safetensors: the parameters and, after them, the running statistics.
void load_model(const fs::path& file, FlatParameters& weights) {
  NamedTensors tensors = load_safetensors(file);
  for (auto& [name, buffer] : weights.buffers()) {
    const auto found = tensors.find(name);
    check_input(found != tensors.end() && found->second.sizes() == buffer.sizes(), "{}: {} is missing or of another shape", file.string(), name);
    at::Tensor(buffer).copy_(found->second);
    tensors.erase(found);
  }
  weights.fill(weights.values, tensors, file.string());
}

}  // namespace

void visit_fields(FieldVisitor& v, TrainProgress& p) {
  visit(v, Field("step", "steps done").at_least(0), p.step);
  visit(v, Field("examples_seen", "training examples so far").at_least(0), p.examples_seen);
  visit(v, Field("last_loss", "mean loss of the newest row of metrics.csv"), p.last_loss);
  visit(v, Field("pending_losses", "losses since the last row of metrics.csv"), p.pending_losses);
  visit(v, Field("pending_norms", "gradient norms of the same steps"), p.pending_norms);
}

void save_train_state(const fs::path& run, const TrainState& state, const TrainProgress& progress, int64_t keep) {
  const fs::path folder = state_folder(run, progress.step), temporary = fs::path(folder) += ".tmp";
  remove_folder(temporary);
  fs::create_directories(temporary);
  const FlatParameters& weights = state.weights;
  NamedTensors model = weights.views(weights.values);
  model.merge(weights.buffers());
  NamedTensors optimizer = with_prefix("mean.", weights.views(state.optimizer.mean));
  optimizer.merge(with_prefix("variance.", weights.views(state.optimizer.variance)));
  try {
    save_safetensors(temporary / "model.safetensors", contiguous(model));
    save_safetensors(temporary / "ema.safetensors", contiguous(weights.views(state.ema.average)));
    save_safetensors(temporary / "optimizer.safetensors", contiguous(optimizer));
    if (!state.more.empty()) save_safetensors(temporary / "more.safetensors", contiguous(state.more));
    if (state.details) write_file_atomically(temporary / "details.json", config_to_json(*state.details) + "\n");
    write_file_atomically(temporary / "state.json", to_json(progress) + "\n");
  } catch (...) {
    remove_folder(temporary);
    throw;
  }
  remove_folder(folder);
  fs::rename(temporary, folder);
  const std::vector<int64_t> steps = saved_steps(run);
  for (size_t i = static_cast<size_t>(std::max<int64_t>(1, keep)); i < steps.size(); ++i) remove_folder(state_folder(run, steps[i]));
}

std::optional<fs::path> newest_train_state(const fs::path& run) {
  const std::vector<int64_t> steps = saved_steps(run);
  if (steps.empty()) return std::nullopt;
  return state_folder(run, steps.front());
}

std::optional<ResumedTrainState> resume_train_state(const fs::path& run, const TrainState& state) {
  std::vector<std::pair<fs::path, std::string>> damaged;  // newest first
  for (const int64_t step : saved_steps(run)) {
    const fs::path folder = state_folder(run, step);
    ResumedTrainState resumed{folder, {}};
    try {
      resumed.progress = load_train_state(folder, state);
    } catch (const InputError& error) {
      damaged.emplace_back(folder, error.what());
      continue;
    }
    // Only now: where no state fits, the model or the config is wrong rather than the files.
    for (const auto& [bad, reason] : damaged) {
      fs::path aside = bad;
      aside += ".damaged";
      remove_folder(aside);
      fs::rename(bad, aside);
      log_warning("{}: the state cannot be read ({}); it is set aside as {}, and the run goes on from {}", bad.string(), reason, aside.filename().string(),
                  folder.string());
    }
    return resumed;
  }
  if (!damaged.empty()) throw InputError(damaged.front().second);
  return std::nullopt;
}

TrainProgress load_train_state(const fs::path& folder, const TrainState& state) {
  const at::NoGradGuard no_grad;
  TrainProgress progress;
  from_json(read_text_file(folder / "state.json"), (folder / "state.json").string(), progress);
  FlatParameters& weights = state.weights;
  load_model(folder / "model.safetensors", weights);
  weights.fill(state.ema.average, load_safetensors(folder / "ema.safetensors"), (folder / "ema.safetensors").string());
  const fs::path file = folder / "optimizer.safetensors";
  const NamedTensors moments = load_safetensors(file);
  weights.fill(state.optimizer.mean, take_prefix("mean.", moments), file.string());
  weights.fill(state.optimizer.variance, take_prefix("variance.", moments), file.string());
  if (!state.more.empty()) {
    const fs::path more = folder / "more.safetensors";
    const NamedTensors found = load_safetensors(more);
    const std::vector<std::string> mismatches = tensor_mismatches(state.more, found);
    check_input(mismatches.empty(), "{}: its tensors do not fit this run:\n  {}", more.string(), fmt::join(mismatches, "\n  "));
    for (const auto& [name, tensor] : state.more) at::Tensor(tensor).copy_(found.at(name));
  }
  if (state.details) config_from_json(read_text_file(folder / "details.json"), (folder / "details.json").string(), *state.details);
  return progress;
}

}  // namespace linden
