// Activations by name, for comparison with a reference library.
//
// A module calls trace(tensor) on its result; the name is the path of TraceScopes around the call, which
// is the module's path in the reference ("down_blocks.0.resnets.1"). Without a TraceSession on this
// thread each call is one load and one branch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace linden {

// Receives (module path, tensor). The tensor may be changed in place after the call: keep a clone.
using TraceCallback = std::function<void(const std::string& name, const at::Tensor& tensor)>;

// Sends this thread's traces to `callback` while it lives. Sessions nest: the inner one hides the outer.
class TraceSession {
 public:
  explicit TraceSession(TraceCallback callback);
  ~TraceSession();
  TraceSession(const TraceSession&) = delete;
  TraceSession& operator=(const TraceSession&) = delete;

 private:
  friend class TraceScope;
  friend void trace(const at::Tensor& tensor);
  TraceCallback callback_;
  std::string path_;
  TraceSession* outer_;
};

bool tracing();

// Adds `part` (and ".index", where there is one) to the path while it lives.
class TraceScope {
 public:
  explicit TraceScope(std::string_view part, int64_t index = -1);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  TraceSession* session_;
  size_t previous_length_ = 0;
};

// Reports `tensor` under the path of the scopes around.
void trace(const at::Tensor& tensor);

}  // namespace linden
