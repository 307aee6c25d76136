#include "diffusion/executor.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "core/error.h"
#include "core/logging.h"
#include "diffusion/graph_executor.h"
#include "ops/philox_normal.h"

namespace linden {
namespace {

at::Tensor to_device(std::span<const int64_t> values, at::Device device) {
  at::Tensor host = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), host.data_ptr<int64_t>());
  return device.is_cpu() ? host : host.to(device);
}

class EagerExecutor final : public Executor {
 public:
  using Executor::Executor;
  EagerExecutor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed) : Executor(std::move(denoiser), seed) {}

  at::Tensor initial(std::span<const int64_t> indices) override { return initial_states(*denoiser_, seed_, indices); }
  at::Tensor advance(const at::Tensor& state, std::span<const int64_t> levels, std::span<const int64_t> indices) override {
    const at::NoGradGuard no_grad;
    const at::Tensor level = to_device(levels, denoiser_->device()), index = to_device(indices, denoiser_->device());
    const at::Tensor noise = philox_normal(seed_, Purpose::kTransition, index, level, denoiser_->state().shape);
    add_call(state.size(0));
    return denoiser_->step(state, level, noise, /*details=*/false).next;
  }
  void warm_up(int64_t) override {}
};

}  // namespace

at::Tensor initial_states(const Denoiser& denoiser, uint64_t seed, std::span<const int64_t> indices) {
  const at::Tensor index = to_device(indices, denoiser.device());
  const at::Tensor level = at::full_like(index, denoiser.num_levels());
  return denoiser.initial(philox_normal(seed, Purpose::kInitialState, index, level, denoiser.state().shape));
}

void visit_fields(FieldVisitor& v, ExecutorConfig& c) {
  visit(v, Field("graphs", "auto: replay CUDA graphs on a GPU; off: eager").one_of({"auto", "off"}), c.graphs);
  visit(v, Field("max_graph_batch", "larger batches run in parts of this size").at_least(1).at_most(65535), c.max_graph_batch);
  visit(v, Field("float32", "fp32 matrix products and convolutions on a GPU: tf32 or exact").one_of({"tf32", "exact"}), c.float32);
}

std::unique_ptr<Executor> make_executor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed, const ExecutorConfig& config) {
  if (denoiser->device().is_cuda() && config.graphs == "auto") {
    if (auto graphs = make_graph_executor(denoiser, seed, config.max_graph_batch)) return graphs;
    log_warning("executor: this build has no CUDA graphs, steps run eagerly");
  }
  return std::make_unique<EagerExecutor>(std::move(denoiser), seed);
}

at::Tensor sample_chain(Executor& executor, std::span<const int64_t> indices) {
  at::Tensor state = executor.initial(indices);
  std::vector<int64_t> levels(indices.size());
  for (int64_t level = executor.denoiser().num_levels(); level >= 1; --level) {
    std::fill(levels.begin(), levels.end(), level);
    state = executor.advance(state, levels, indices);
  }
  return state;
}

int64_t graph_bucket(int64_t rows) {
  int64_t bucket = 1;
  while (bucket < rows && bucket < 64) bucket *= 2;
  return rows <= 64 ? bucket : (rows + 31) / 32 * 32;
}

}  // namespace linden
