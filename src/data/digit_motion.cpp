#include "data/digit_motion.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace linden {
namespace {

constexpr std::array<Motion, 8> kMotions = {
    {{"right", 0, 1}, {"down-right", 1, 1}, {"down", 1, 0}, {"down-left", 1, -1}, {"left", 0, -1}, {"up-left", -1, -1}, {"up", -1, 0}, {"up-right", -1, 1}}};

// A triangle wave of period 2 last, read `steps` steps from `start`.
int64_t reflected(int64_t start, int64_t steps, int64_t last) {
  const int64_t period = 2 * last;
  const int64_t phase = ((start + steps) % period + period) % period;
  return phase <= last ? phase : period - phase;
}

}  // namespace

std::span<const Motion> motions() { return kMotions; }

int64_t motion_index(const std::string& name) {
  const auto found = std::ranges::find(kMotions, name, &Motion::name);
  check(found != kMotions.end(), "motion_index: there is no motion \"{}\"", name);
  return found - kMotions.begin();
}

PlaceRange start_places(int64_t direction, int64_t last) {
  check(last >= kFreeSteps, "start_places: the last place is {}, wanted at least {}", last, kFreeSteps);
  return {direction < 0 ? kFreeSteps : 0, direction > 0 ? last - kFreeSteps : last};
}

std::vector<GridPlace> motion_path(const Motion& motion, GridPlace start, int64_t last, int64_t frames) {
  check(last >= 1 && start.y >= 0 && start.y <= last && start.x >= 0 && start.x <= last, "motion_path: start ({}, {}) with places 0..{}", start.y, start.x,
        last);
  std::vector<GridPlace> path;
  for (int64_t f = 0; f < frames; ++f) path.push_back({reflected(start.y, f * motion.dy, last), reflected(start.x, f * motion.dx, last)});
  return path;
}

}  // namespace linden
