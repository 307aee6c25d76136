// Marks between the stages of a network's forward pass, for clocks: what runs after begin_stage(name) belongs to that stage
// until the next mark. Without a StageSession on this thread a mark is one load and one branch.
#pragma once

#include <functional>
#include <string_view>

namespace linden {

using StageCallback = std::function<void(std::string_view stage)>;

// Sends this thread's marks to `callback` while it lives. Sessions nest: the inner one hides the outer.
class StageSession {
 public:
  explicit StageSession(StageCallback callback);
  ~StageSession();
  StageSession(const StageSession&) = delete;
  StageSession& operator=(const StageSession&) = delete;

 private:
  friend void begin_stage(std::string_view stage);
  StageCallback callback_;
  StageSession* outer_;
};

void begin_stage(std::string_view stage);

}  // namespace linden
