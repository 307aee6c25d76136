#include "nn/trace.h"

namespace linden {
namespace {
thread_local TraceSession* active_session = nullptr;
}

TraceSession::TraceSession(TraceCallback callback) : callback_(std::move(callback)), outer_(active_session) { active_session = this; }

TraceSession::~TraceSession() { active_session = outer_; }

bool tracing() { return active_session != nullptr; }

TraceScope::TraceScope(std::string_view part, int64_t index) : session_(active_session) {
  if (!session_) return;
  std::string& path = session_->path_;
  previous_length_ = path.size();
  if (!path.empty()) path += '.';
  path += part;
  if (index >= 0) path += "." + std::to_string(index);
}

TraceScope::~TraceScope() {
  if (session_) session_->path_.resize(previous_length_);
}

void trace(const at::Tensor& tensor) {
  if (active_session) active_session->callback_(active_session->path_, tensor);
}

}  // namespace linden
