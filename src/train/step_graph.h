// A training step as one captured CUDA graph: small networks wait for launches, not for the card.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>

namespace linden {

class StepGraph {
 public:
  // graphs: auto (captured on a GPU) or off. On a GPU everything on this thread runs on a stream of its own from here to
  // the end of this object, as capture wants it.
  StepGraph(const std::string& graphs, at::Device device);
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;

  // Runs `body`: device work whose addresses and shapes are the same every time, which never waits for the device; what
  // changes from step to step stands in tensors that are filled before. The first calls run it as it is, the next one
  // captures it, later ones replay it. `variant` names bodies that differ (0, 1, ...): each has a graph of its own.
  void run(const std::function<void()>& body, int variant = 0);
  // Forgets what was captured: the body is another one from here on.
  void reset();
  bool captures() const;

 private:
  struct State;
  std::unique_ptr<State> state_;  // none where nothing is captured
};

}  // namespace linden
