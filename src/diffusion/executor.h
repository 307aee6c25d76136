// Runs a Denoiser's steps on a batch: makes the noise of (seed, index, level), counts, and on a GPU replays a
// captured CUDA graph a step. Works for any Denoiser.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/config.h"
#include "diffusion/denoiser.h"

namespace linden {

struct ExecutorConfig {
  std::string graphs = "auto";     // auto: CUDA graphs on a GPU; off: eager everywhere
  int64_t max_graph_batch = 1024;  // larger batches run in parts
  std::string float32 = "tf32";    // matrix products and convolutions on a GPU: tf32 or exact
};
void visit_fields(FieldVisitor& v, ExecutorConfig& c);

struct CallCount {
  int64_t nfe = 0;            // rows x steps
  int64_t network_calls = 0;  // rows x steps x calls a step
  int64_t batches = 0;        // steps issued
};

class Executor {
 public:
  virtual ~Executor() = default;
  // States at level S for stream indices [B]: [B, ...] on the denoiser's device.
  virtual at::Tensor initial(std::span<const int64_t> indices) = 0;
  // One level down for every row. state: [B, ...]; levels, indices: B each (host memory).
  virtual at::Tensor advance(const at::Tensor& state, std::span<const int64_t> levels, std::span<const int64_t> indices) = 0;
  // Ready before timing starts: captures the graphs of batches up to `batch`.
  virtual void warm_up(int64_t batch) = 0;
  const CallCount& count() const { return count_; }
  const Denoiser& denoiser() const { return *denoiser_; }

 protected:
  Executor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed) : denoiser_(std::move(denoiser)), seed_(seed) {}
  void add_call(int64_t rows) {
    count_.nfe += rows;
    count_.network_calls += rows * denoiser_->network_calls_per_step();
    ++count_.batches;
  }
  std::shared_ptr<const Denoiser> denoiser_;
  uint64_t seed_;
  CallCount count_;
};

// Logs once which executor runs and why.
std::unique_ptr<Executor> make_executor(std::shared_ptr<const Denoiser> denoiser, uint64_t seed, const ExecutorConfig& config);

// Whole trajectories of streams `indices`, from level S to 0: [B, ...].
at::Tensor sample_chain(Executor& executor, std::span<const int64_t> indices);

// The smallest captured batch that holds `rows`: powers of two up to 64, then multiples of 32.
int64_t graph_bucket(int64_t rows);

}  // namespace linden
