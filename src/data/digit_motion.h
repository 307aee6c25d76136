// The eight motions of a moving digit: one step a frame along a grid of places, reflected at the border.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linden {

struct Motion {
  std::string_view name;  // "up-left": one word of a caption
  int64_t dy, dx;         // steps a frame: rows down, columns to the right; -1, 0 or 1
};
// right, down-right, down, down-left, left, up-left, up, up-right: clockwise.
std::span<const Motion> motions();
// The place of a name in motions(). CheckError: there is none of that name.
int64_t motion_index(const std::string& name);

// Where a digit's upper left corner is, in steps from the upper left place.
struct GridPlace {
  int64_t y = 0, x = 0;
  bool operator==(const GridPlace&) const = default;
};

// No reflection in the first so many steps: otherwise two motions could look the same.
inline constexpr int64_t kFreeSteps = 2;

// Along one axis with the places 0 .. last (last >= kFreeSteps): the places from which a digit may start.
struct PlaceRange {
  int64_t lowest = 0, highest = 0;
};
PlaceRange start_places(int64_t direction, int64_t last);

// The places in `frames` frames, the start first. A step past 0 or `last` turns that axis's direction round.
std::vector<GridPlace> motion_path(const Motion& motion, GridPlace start, int64_t last, int64_t frames);

}  // namespace linden
