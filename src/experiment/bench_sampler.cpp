#include "experiment/bench_sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "diffusion/executor.h"
#include "ops/attention_run.h"

namespace linden {
namespace {

// Median over repeats of the wall time of a step, in ms; the device is waited for at both ends.
double time_step(Executor& executor, int64_t batch, const BenchSamplerConfig& config) {
  const int64_t levels = executor.denoiser().num_levels();
  std::vector<int64_t> index(static_cast<size_t>(batch)), level(static_cast<size_t>(batch));
  for (int64_t i = 0; i < batch; ++i) index[i] = i;
  executor.warm_up(batch);
  const auto repeat = [&] {
    at::Tensor state = executor.initial(index);
    state.sum().item<float>();
    const auto start = Clock::now();
    for (int64_t step = 0; step < config.steps; ++step) {
      std::fill(level.begin(), level.end(), levels - step % levels);
      state = executor.advance(state, level, index);
    }
    state.sum().item<float>();
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count() / static_cast<double>(config.steps);
  };
  repeat();  // not counted
  std::vector<double> times;
  for (int64_t r = 0; r < config.repeats; ++r) times.push_back(repeat());
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

}  // namespace

void visit_fields(FieldVisitor& v, BenchSamplerConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("prior", "the diffusion model that is timed"), c.prior);
  visit(v, Field("sampler", "how one step goes"), c.sampler);
  visit(v, Field("float32", "fp32 matrix products and convolutions on a GPU: tf32 or exact").one_of({"tf32", "exact"}), c.float32);
  visit(v, Field("batch_sizes", "rows a step").at_least(1), c.batch_sizes);
  visit(v, Field("steps", "timed steps a repeat").at_least(1), c.steps);
  visit(v, Field("repeats", "the median over these is reported").at_least(1), c.repeats);
}

void visit_fields(FieldVisitor& v, BenchSamplerSummary& c) {
  visit(v, Field("device", "card or CPU"), c.device);
  visit(v, Field("batch_sizes", "rows a step"), c.batch_sizes);
  visit(v, Field("eager_ms", "ms a step, eager"), c.eager_ms);
  visit(v, Field("graph_ms", "ms a step, CUDA graph"), c.graph_ms);
}

void run_bench_sampler(BenchSamplerConfig config, const RunOptions& options) {
  check_input(!config.batch_sizes.empty(), "batch_sizes is empty, wanted at least one batch size, for example --set batch_sizes=[1,8]");
  const at::Device device = set_up_device(config.run, config.float32 == "exact" ? Float32Math::kExact : Float32Math::kTf32);
  const std::shared_ptr<Denoiser> denoiser = load_denoiser(config.prior, config.sampler, device);
  ConfigRefOf<BenchSamplerConfig> ref(config);
  RunDirectory run(options, ref);
  const AttentionRun attention(config.run, run);
  BenchSamplerSummary summary;
  summary.device = device_name(device);
  summary.batch_sizes = config.batch_sizes;
  std::string csv = "batch,eager_ms,graph_ms,nfe_per_second\n";
  std::printf("%s\n%8s %12s %12s %14s\n", summary.device.c_str(), "batch", "eager ms", "graph ms", "NFE/s");
  for (int64_t batch : config.batch_sizes) {
    const double eager = time_step(*make_executor(denoiser, 0, {.graphs = "off"}), batch, config);
    summary.eager_ms.push_back(eager);
    double best = eager;
    std::string graph_text = "-";
    if (device.is_cuda()) {
      best = time_step(*make_executor(denoiser, 0, {.graphs = "auto", .max_graph_batch = 65535}), batch, config);
      summary.graph_ms.push_back(best);
      graph_text = fmt::format("{:.3f}", best);
    }
    const double rate = static_cast<double>(batch) * 1e3 / best;
    std::printf("%8lld %12.3f %12s %14.0f\n", static_cast<long long>(batch), eager, graph_text.c_str(), rate);
    std::fflush(stdout);
    csv += fmt::format("{},{:.4f},{},{:.1f}\n", batch, eager, graph_text == "-" ? "" : graph_text, rate);
  }
  write_file_atomically(run.file("bench.csv"), csv);
  ConfigRefOf<BenchSamplerSummary> summary_ref(summary);
  run.write_summary(summary_ref);
}

}  // namespace linden
