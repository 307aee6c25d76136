// A step (noise, network, update) is captured once per batch bucket and replayed. Inputs live in fixed buffers:
// the state, and one pinned int64 pair (level, index) a row that travels in a single copy. Rows beyond the
// batch repeat row 0 and are dropped; a row's result depends on the bucket only through the library's kernels.
#include "diffusion/graph_executor.h"

#include "core/error.h"
#include "core/logging.h"
#include "ops/philox_normal.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <map>
#endif

namespace linden {

#ifdef LINDEN_HAS_CUDA
namespace {

struct CapturedStep {
  at::Tensor state;      // [K, ...] input
  at::Tensor rows;       // [2, K] int64 on the GPU: levels, indices
  at::Tensor host_rows;  // the same, pinned
  at::Tensor next;       // [K, ...] output
  at::cuda::CUDAGraph graph;
  at::cuda::CUDAEvent copied;  // host_rows may be written again
};

class GraphExecutor final : public Executor {
 public:
  GraphExecutor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed, int64_t max_batch) : Executor(std::move(denoiser), seed), max_batch_(max_batch) {
    log_info("executor: CUDA graphs, one a batch bucket, up to {} rows", max_batch_);
  }

  at::Tensor initial(std::span<const int64_t> indices) override { return initial_states(*denoiser_, seed_, indices); }

  at::Tensor advance(const at::Tensor& state, std::span<const int64_t> levels, std::span<const int64_t> indices) override {
    const at::NoGradGuard no_grad;
    const int64_t batch = state.size(0);
    add_call(batch);
    if (batch > max_batch_) return advance_in_parts(state, levels, indices);
    CapturedStep& step = captured(graph_bucket(batch));
    const int64_t bucket = step.rows.size(1);
    step.copied.synchronize();
    int64_t* rows = step.host_rows.data_ptr<int64_t>();
    for (int64_t b = 0; b < bucket; ++b) {
      rows[b] = levels[b < batch ? b : 0];
      rows[bucket + b] = indices[b < batch ? b : 0];
    }
    step.rows.copy_(step.host_rows, /*non_blocking=*/true);
    step.copied.record();
    step.state.narrow(0, 0, batch).copy_(state);
    if (bucket > batch) step.state.narrow(0, batch, bucket - batch).copy_(state.narrow(0, 0, 1).expand_as(step.state.narrow(0, batch, bucket - batch)));
    step.graph.replay();
    return step.next.narrow(0, 0, batch).clone();
  }

  void warm_up(int64_t batch) override {
    const at::NoGradGuard no_grad;
    for (int64_t rows = 1; rows <= std::min(batch, max_batch_); rows = graph_bucket(rows) + 1) captured(graph_bucket(rows));
  }

 private:
  at::Tensor advance_in_parts(const at::Tensor& state, std::span<const int64_t> levels, std::span<const int64_t> indices) {
    std::vector<at::Tensor> parts;
    const CallCount count = count_;
    for (int64_t first = 0; first < state.size(0); first += max_batch_) {
      const int64_t rows = std::min(max_batch_, state.size(0) - first);
      parts.push_back(advance(state.narrow(0, first, rows), levels.subspan(first, rows), indices.subspan(first, rows)));
    }
    count_ = count;
    return at::cat(parts);
  }

  CapturedStep& captured(int64_t bucket) {
    std::unique_ptr<CapturedStep>& slot = steps_[bucket];
    if (!slot) slot = capture(bucket);
    return *slot;
  }

  at::Tensor run(CapturedStep& step) const {
    const at::Tensor levels = step.rows[0], indices = step.rows[1];
    const at::Tensor noise = philox_normal(seed_, Purpose::kTransition, indices, levels, denoiser_->state().shape);
    return denoiser_->step(step.state, levels, noise, /*details=*/false).next;
  }

  std::unique_ptr<CapturedStep> capture(int64_t bucket) {
    const c10::cuda::CUDAGuard guard(denoiser_->device());
    auto step = std::make_unique<CapturedStep>();
    std::vector<int64_t> shape = {bucket};
    const StateSpec spec = denoiser_->state();
    shape.insert(shape.end(), spec.shape.begin(), spec.shape.end());
    const auto on_gpu = at::TensorOptions().device(denoiser_->device());
    step->state = at::zeros(shape, on_gpu.dtype(spec.dtype));
    step->rows = at::ones({2, bucket}, on_gpu.dtype(at::kLong));
    step->host_rows = at::ones({2, bucket}, at::TensorOptions().dtype(at::kLong).pinned_memory(true));
    at::cuda::device_synchronize();
    const auto side = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, denoiser_->device().index());
    {
      const c10::cuda::CUDAStreamGuard on_side(side);
      for (int i = 0; i < 3; ++i) run(*step);  // library handles, algorithm choices and workspaces are made outside the capture
      side.synchronize();
      step->graph.capture_begin();
      step->next = run(*step);
      step->graph.capture_end();
    }
    at::cuda::device_synchronize();
    return step;
  }

  int64_t max_batch_;
  std::map<int64_t, std::unique_ptr<CapturedStep>> steps_;
};

}  // namespace

std::unique_ptr<Executor> make_graph_executor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed, int64_t max_batch) {
  return std::make_unique<GraphExecutor>(std::move(denoiser), seed, max_batch);
}

#else

std::unique_ptr<Executor> make_graph_executor(std::shared_ptr<const Denoiser>, uint64_t, int64_t) { return nullptr; }

#endif

}  // namespace linden
