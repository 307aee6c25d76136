#include "train/step_graph.h"

#ifdef LINDEN_HAS_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <map>
#endif

#include "core/logging.h"

namespace linden {

#ifdef LINDEN_HAS_CUDA

namespace {

// Library handles, algorithm choices and workspaces are made outside the capture.
constexpr int kEagerCalls = 3;

struct Captured {
  int calls = 0;
  std::unique_ptr<at::cuda::CUDAGraph> graph;
};

}  // namespace

struct StepGraph::State {
  explicit State(at::Device device)
      : device_guard(device),
        stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())),
        stream_guard(stream) {}
  c10::cuda::CUDAGuard device_guard;
  c10::cuda::CUDAStream stream;
  c10::cuda::CUDAStreamGuard stream_guard;
  std::map<int, Captured> variants;
};

StepGraph::StepGraph(const std::string& graphs, at::Device device) {
  if (graphs == "off" || !device.is_cuda()) return;
  c10::cuda::device_synchronize();  // what was made so far stands on another stream
  state_ = std::make_unique<State>(device);
  log_info("training: a step is one CUDA graph");
}

StepGraph::~StepGraph() {
  if (state_) c10::cuda::device_synchronize();
}

void StepGraph::run(const std::function<void()>& body, int variant) {
  if (!state_) return body();
  Captured& captured = state_->variants[variant];
  if (captured.graph) return captured.graph->replay();
  if (captured.calls++ < kEagerCalls) return body();
  state_->stream.synchronize();
  auto graph = std::make_unique<at::cuda::CUDAGraph>();
  graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  body();
  graph->capture_end();
  graph->replay();
  captured.graph = std::move(graph);
}

void StepGraph::reset() {
  if (!state_) return;
  c10::cuda::device_synchronize();
  state_->variants.clear();
}

bool StepGraph::captures() const { return state_ != nullptr; }

#else

struct StepGraph::State {};
StepGraph::StepGraph(const std::string&, at::Device) {}
StepGraph::~StepGraph() = default;
void StepGraph::run(const std::function<void()>& body, int) { body(); }
void StepGraph::reset() {}
bool StepGraph::captures() const { return false; }

#endif

}  // namespace linden
