#include "nn/stage.h"

#include <utility>

namespace linden {
namespace {
thread_local StageSession* active_session = nullptr;
}

StageSession::StageSession(StageCallback callback) : callback_(std::move(callback)), outer_(active_session) { active_session = this; }

StageSession::~StageSession() { active_session = outer_; }

void begin_stage(std::string_view stage) {
  if (active_session) active_session->callback_(stage);
}

}  // namespace linden
