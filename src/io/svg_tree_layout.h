// Which nodes of a tree are drawn, and where. Internal to src/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/svg.h"

namespace linden::svg {

inline constexpr size_t kMaxTreeNodes = 1500;

// Drawn nodes, in the order of their indices: a parent comes before its children.
struct TreeLayout {
  std::vector<size_t> node;     // index in the figure
  std::vector<int64_t> parent;  // position in this layout; -1: the root
  std::vector<double> x, slot;  // centre and width of the node's own strip, as parts of the whole width
  size_t num_leaves = 0;        // of what is drawn
};

// CheckError unless the figure is one rooted tree whose levels grow from parent to child.
void check_tree(const TreeFigure& figure);
// All nodes of a small tree; of a large one `most` nodes: by turns the highest in value and the most
// visited, each with its ancestors. Strips are as wide as the leaves below them.
TreeLayout lay_out_tree(const TreeFigure& figure, size_t most = kMaxTreeNodes);

}  // namespace linden::svg
